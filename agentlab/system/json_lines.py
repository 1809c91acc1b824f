"""JSON lines: files of objects, one a line, read within limits, whoever wrote them; the last line may be half written."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

from agentlab.system import files
from agentlab.system.files import UnreadableError

LARGEST = 2**26  # bytes of a file
LONGEST = 2**18  # bytes of a line
MOST = 500_000  # lines


def read_lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a file, one after the other; lines that hold none are left out.

    Raises:
        UnreadableError: it is no plain file, or larger than any such file.
    """
    with files.open_plain(path) as opened:
        size, count = os.fstat(opened.fileno()).st_size, 0
        if size > LARGEST:
            raise UnreadableError(f"{path.name} has {size:,} bytes; expected at most {LARGEST:,}")
        while line := opened.readline(LONGEST + 1):
            count += 1
            if len(line) > LONGEST or count > MOST:
                raise UnreadableError(f"{path.name} has more than {MOST:,} lines, or one of more than {LONGEST:,} bytes")
            if (data := object_of(line)) is not None:
                yield data


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
