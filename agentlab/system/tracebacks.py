"""Tracebacks: what other people's code raised, in one line, and where in that code it happened."""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

LONGEST_TEXT = 300  # characters of a foreign message
OWN = {"agentlab", "agentlab_envs"}
LIBRARIES = OWN | {"absl", "attr", "attrs", "gymnasium", "keras", "numpy", "stevedore", "tensorflow", "wrapt"}
GENERATED = "__autograph_generated_file"  # how the names of TensorFlow's converted source files begin

_BOLD = re.compile(r"\x1b\[1m(.*?)\x1b\[0m", re.DOTALL)
_GRAPH_PLACE = re.compile(r'^ *File "([^"]+)", line (\d+), in .*$', re.MULTILINE)
_GRAPH_MARKS = re.compile(r"\{\{(?:function_)?node [^}]*\}\}|\[\[\s*\]\]|\[Op:[^\]]*\](?: name: ?)?")


def describe_error(error: BaseException) -> str:
    """Returns an exception with the place it comes from: "KeyError: 'lost'. It happened in my_environment.py, line 12"."""
    return summarize_error(error) + place(error)


def summarize_error(error: BaseException) -> str:
    """Returns an exception in one line, whatever its text: "KeyError: 'lost'", or "NotImplementedError" where there is none."""
    try:
        text = " ".join(_telling(str(error)).split())
    except Exception as another:
        text = f"its text can't be had: {type(another).__name__}"
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    return f"{type(error).__name__}: {text}".rstrip(":. ")


def _telling(text: str) -> str:
    """Returns a message without the location: Keras prints it in bold, TensorFlow after the places in the source."""
    if text.startswith("Exception encountered when calling") and (bold := _BOLD.search(text)):
        return bold.group(1)
    if text.startswith("in user code:"):
        return text.strip().splitlines()[-1].strip().partition(": ")[2]
    if text.startswith("Graph execution error") and (places := list(_GRAPH_PLACE.finditer(text))):
        text = text[places[-1].end() :]
    return _GRAPH_MARKS.sub("", text)


def place(error: BaseException) -> str:
    """Returns ". It happened in FILE, line N", of the innermost code that is no library's; empty if there was none."""
    last = next(reversed(list(foreign_frames(error))), None)
    if last is not None:
        return _written(*_source(error, *last))
    if type(error).__module__.startswith("tensorflow"):
        return _place_in_graph(str(error))
    return ""


def _place_in_graph(text: str) -> str:
    """Returns the innermost place that TensorFlow tells of a graph's node, among those outside libraries."""
    places = [(file, int(line)) for file, line in _GRAPH_PLACE.findall(text) if not _is_library_file(file)]
    return _written(*places[-1]) if places else ""


def _is_library_file(file: str) -> bool:
    if GENERATED in file:
        return True
    return any(f"{os.sep}{name}{os.sep}" in file for name in LIBRARIES)


def foreign_frames(error: BaseException) -> Iterator[tuple[types.FrameType, int]]:
    """Yields the frames, with their lines, that an exception passed outside of libraries, the outermost first."""
    for frame, line in frames(error):
        root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if root not in LIBRARIES and root not in sys.stdlib_module_names:
            yield frame, line


def frames(error: BaseException) -> Iterator[tuple[types.FrameType, int]]:
    """Yields the frames, with their lines, that an exception passed, the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _source(error: BaseException, frame: types.FrameType, line: int) -> tuple[str, int]:
    """Returns a frame's file and line; of a function that TensorFlow converted, those of what it was written as."""
    file = frame.f_code.co_filename
    if GENERATED not in file:
        return file, line
    stack: Any = getattr(getattr(error, "ag_error_metadata", None), "translated_stack", None) or ()
    for info in stack:
        if GENERATED not in info.filename and not _is_library_file(info.filename):
            return info.filename, int(info.lineno)
    return str(frame.f_globals.get("__file__", "")), 0


def _written(file: str, line: int) -> str:
    return f". It happened in {file}, line {line}" if line else f". It happened in {file}" if file else ""
