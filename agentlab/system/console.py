"""The standard streams, any of which may be closed or fill up while a program runs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from agentlab import errors
from agentlab.system import terminal


def print_line(line: str, stream: TextIO | None = None) -> OSError | ValueError | None:
    """Prints a line, on standard output by default, and returns why it could not be written, if it could not.

    What it takes is never waited for: a pipe that is full and doesn't block loses the line.
    """
    stream = sys.stdout if stream is None else stream
    if terminal.Status.current is not None:
        terminal.Status.current.erase()
    try:
        print(line, file=stream, flush=True)
    except (OSError, ValueError) as error:  # the latter of a stream that is closed, or lacks a character
        return error
    return None


class Lossy:
    """A stream that drops what can't be written, for output while a run trains.

    Args:
        stream: what to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Checked:
    """A stream that raises an OutputFault if it can't be written, for commands whose purpose is their output.

    Args:
        stream: what to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _refuse_unwritable():
            return self._stream.write(text)

    def flush(self) -> None:
        with _refuse_unwritable():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _refuse_unwritable() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader has left
        raise
    except OSError as error:
        raise output_fault(error) from error


def output_fault(error: OSError) -> errors.OutputFault:
    """Returns the error that says why standard output can't be written."""
    return errors.OutputFault(f"Standard output can't be written: {error.strerror or error}. Write to another place.")


@contextlib.contextmanager
def blocking(stream: TextIO) -> Iterator[None]:
    """Makes writes to a stream wait for its reader, inside the block, if another program has left it non-blocking."""
    try:
        descriptor = stream.fileno()
        before = os.get_blocking(descriptor)
        os.set_blocking(descriptor, True)
    except (AttributeError, OSError, ValueError):  # no file of the system's
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            os.set_blocking(descriptor, before)


def give_up(stream: TextIO) -> None:
    """Leads a stream that can't be written to nowhere; as it ends, the interpreter would fail at what it still holds."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
