"""What suits a terminal: text wrapped to its width, headings in colour, and a line that says what is under way."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import ClassVar, Literal, TextIO

STYLES = {"heading": "\033[1m", "faint": "\033[2m", "problem": "\033[31m"}
PLAIN = "\033[0m"
NARROWEST = 40  # columns that text is wrapped to
PERIOD = 0.5  # seconds from one change of a status line to the next
ERASE = "\r\033[K"

Style = Literal["heading", "faint", "problem"]


def is_terminal(stream: TextIO | None) -> bool:
    """Returns whether a stream, which may be None or closed, leads to a terminal."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, OSError, ValueError):
        return False


def is_redirected(stream: TextIO | None) -> bool:
    """Returns whether a stream leads into a pipe or a file, rather than to a terminal or into an object of Python's own."""
    try:
        return stream is not None and not os.isatty(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False


def has_colors(stream: TextIO | None) -> bool:
    """Returns whether a stream leads to a terminal with colours that NO_COLOR (no-color.org) doesn't turn off."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def styled(text: str, style: Style, stream: TextIO | None = None) -> str:
    """Returns text in a style if the stream, by default standard output, has colours."""
    return f"{STYLES[style]}{text}{PLAIN}" if has_colors(sys.stdout if stream is None else stream) else text


def columns(stream: TextIO | None = None) -> int | None:
    """Returns how wide text may be on a stream, by default standard output; None where that is no terminal."""
    if not is_terminal(sys.stdout if stream is None else stream):
        return None
    return max(shutil.get_terminal_size().columns, NARROWEST)


def wrapped(line: str, hanging: int = 0, stream: TextIO | None = None) -> str:
    """Returns a line, wrapped to a terminal's width; elsewhere it stays one line, as other programs expect.

    Args:
        line: without line breaks.
        hanging: spaces before its second line and all that follow.
        stream: where it is printed; None for standard output.
    """
    width = columns(stream)
    if width is None:
        return line
    return textwrap.fill(line, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


class Status:
    """A line on standard error that says what is under way, and for how many seconds; nothing where that is no terminal.

    It is drawn by a thread of its own, because the main thread may be inside native code for seconds.

    Args:
        text: what is under way.
    """

    current: ClassVar[Status | None] = None

    def __init__(self, text: str) -> None:
        self.text = text
        self._begun, self._ended = time.monotonic(), threading.Event()
        self._thread: threading.Thread | None = None
        if is_terminal(sys.stderr):
            self._stream, self._descriptor = sys.stderr, _own_descriptor(sys.stderr)
            self._thread = threading.Thread(target=self._run, daemon=True)
            Status.current = self
            self._draw()
            self._thread.start()

    def erase(self) -> None:
        """Removes the line, until it is drawn again, to make room for another one."""
        if self._thread is not None:
            self._write(ERASE)

    def close(self) -> None:
        """Removes the line for good."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self.erase()
        self._thread, Status.current = None, None
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            self._draw()

    def _draw(self) -> None:
        seconds = f" {time.monotonic() - self._begun:.0f} s"
        room = shutil.get_terminal_size().columns - len(seconds) - 1
        self._write(f"{ERASE}{self.text[: max(room, 0)]}{seconds}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            if self._descriptor is not None:
                os.write(self._descriptor, text.encode("utf-8", "replace"))
            else:
                self._stream.write(text)
                self._stream.flush()


def _own_descriptor(stream: TextIO) -> int | None:
    """Returns a second way to the same terminal, which stays where the stream's descriptor leads elsewhere for a while.

    Nothing is held back there, which could not be written once the terminal is gone. None for an object of Python's own.
    """
    try:
        return os.dup(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


@contextlib.contextmanager
def show_status(text: str) -> Iterator[None]:
    """Shows on standard error, as long as the block runs, what is under way; nothing where that is no terminal."""
    status = Status(text)
    try:
        yield
    finally:
        status.close()
