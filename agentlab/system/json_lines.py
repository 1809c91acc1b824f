"""JSON lines: files of objects, one a line, read within limits, whoever wrote them; the last line may be half written."""

from __future__ import annotations

import json
import math
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeGuard

from agentlab.system import files
from agentlab.system.files import UnreadableError

LARGEST = 2**26  # bytes of a file of which every line is read
MOST = 500_000  # lines of such a file
PLACES = 2**14  # at which a larger file is read
LONGEST = 2**18  # bytes of a line
BLOCK = 2**20  # bytes that are looked at together


def read_lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a file, one after the other; lines that hold none are left out.

    Of a file of more than `LARGEST` bytes or `MOST` lines, those are read that begin at evenly spaced places.

    Raises:
        UnreadableError: it is no plain file, or its lines are longer than any such file's.
    """
    with files.open_plain(path) as opened:
        size, read = os.fstat(opened.fileno()).st_size, 0
        for line in iter(lambda: opened.readline(LONGEST + 1), b"") if _is_small(opened, size) else _spaced(opened, size):
            read += len(line)
            if len(line) > LONGEST:
                raise UnreadableError(f"{path.name} has a line of more than {LONGEST:,} bytes")
            if read > LARGEST:
                raise UnreadableError(f"{path.name} has {size:,} bytes in lines of more than {LARGEST // PLACES:,} each")
            if (data := object_of(line)) is not None:
                yield data


def _is_small(opened: BinaryIO, size: int) -> bool:
    """Returns whether a file is read whole; it is at its beginning then."""
    if size > LARGEST:
        return False
    count = sum(block.count(b"\n") for block in iter(lambda: opened.read(BLOCK), b""))
    opened.seek(0)
    return count <= MOST


def _spaced(opened: BinaryIO, size: int) -> Iterator[bytes]:
    """Yields the lines that are the first to begin at evenly spaced places of a file, no line twice."""
    end = 0
    for place in range(0, size, math.ceil(size / PLACES)):
        if place < end:
            continue
        opened.seek(max(place - 1, 0))
        if place:
            opened.readline(LONGEST + 1)  # the rest of the line before, at least its end
        yield opened.readline(LONGEST + 1)
        end = opened.tell()


def object_of(line: bytes) -> dict[str, Any] | None:
    """Returns the object that a line holds, None if it holds none."""
    if b"{" not in line:  # an exception for each of many empty lines would take seconds
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Returns whether a value of JSON is a number that a float can hold: a whole number may have any number of digits."""
    largest = sys.float_info.max
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -largest <= value <= largest
