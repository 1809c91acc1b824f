"""Limits on settings, checked before anything is built from them."""

from __future__ import annotations

import math
import os
from typing import Any, TypeAlias

import attrs

from agentlab import errors, schedules

DEEPEST = 50  # tables or lists in others
NAMES = 10_000  # that a file may hold
VALUES = 100_000  # likewise; a small data set can stand in a config, and each value is looked at several times
LONGEST_LIST = 500  # elements of a setting that is a list, such as one layer each
LARGEST_INTEGER = 2**63 - 1  # what TensorFlow and NumPy count with
LONGEST_NAME = 255  # characters of a task's or a part's name
LONGEST_PATH = 4_095  # bytes, on Linux
MOST = {  # of a task's numbers that a file may ask for; a user may ask for more
    ("steps",): 10**12,
    ("num_environments",): 2**14,
    ("checkpoints_kept",): 10**4,
    ("evaluation", "episodes"): 10**6,
}


Table: TypeAlias = dict[str, Any] | list[Any] | tuple[Any, ...]  # as files hold them, nested


def check_values(tables: object, path: str = "", depth: int = 0) -> None:
    """Checks every value of nested tables and lists; other objects are left alone.

    Raises:
        UsageError: a whole number has more than 64 bits, a text holds a zero character or half of one, or it is nested
            too deep.
    """
    if depth > DEEPEST:
        raise errors.UsageError(
            f"Setting {path[:60]} is nested too deep; expected at most {DEEPEST} tables or lists in others."
        )
    if isinstance(tables, dict):
        for name, value in tables.items():
            _check_text(str(name), "A setting's name")
            check_values(value, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(tables, (list, tuple)):
        for value in tables:
            check_values(value, path, depth + 1)
    elif isinstance(tables, str):
        _check_text(tables, f"Setting {path[:60]}")
    elif isinstance(tables, int) and abs(tables) > LARGEST_INTEGER:
        raise errors.UsageError(
            f"Setting {path[:60]} is a whole number of {tables.bit_length()} bits; expected at most {LARGEST_INTEGER:,}."
        )


def _check_text(text: str, what: str) -> None:
    if "\0" in text:
        raise errors.UsageError(f"{what} is {text[:60]!r}, which holds a zero character; expected a text without any.")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise errors.UsageError(
            f"{what} is {text[:60]!r}, which holds an unpaired surrogate, U+{ord(text[error.start]):04X}; expected Unicode."
        ) from error


def check_finite(tables: object, path: str = "") -> None:
    """Checks that all numbers of nested tables, lists and schedules are finite, as JSON requires.

    Raises:
        UsageError: one is not finite.
    """
    if isinstance(tables, schedules.Schedule) and attrs.has(type(tables)):
        tables = attrs.asdict(tables)  # type: ignore[arg-type]
    if isinstance(tables, dict):
        for name, value in tables.items():
            check_finite(value, f"{path}.{name}" if path else str(name))
    elif isinstance(tables, (list, tuple)):
        for value in tables:
            check_finite(value, path)
    elif isinstance(tables, float) and not math.isfinite(tables):
        raise errors.UsageError(
            f"Setting {path} is {tables}; expected a finite number, as config.json can hold no other. A text goes in quotes."
        )


def check_size(tables: Table, where: str) -> None:
    """Checks how much a file holds; its depth has been checked.

    Raises:
        UsageError: it holds more names or values than any experiment needs.
    """
    names, values = _count(tables)
    for count, most, what in ((names, NAMES, "names"), (values, VALUES, "values")):
        if count > most:
            raise errors.UsageError(f"{where} holds {count:,} {what}; expected at most {most:,}.")


def check_asked(tables: dict[str, Any], file: str) -> None:
    """Checks the numbers of a task, or of changes to one, that a file asks for.

    Raises:
        UsageError: one is larger than any experiment's.
    """
    # What a config.json asks for may have been written by anybody.
    for path, most in MOST.items():
        number: Any = tables
        for name in path:
            number = number.get(name) if isinstance(number, dict) else None
        if isinstance(number, (int, float)) and number > most:
            raise errors.UsageError(
                f"{file!r} sets {'.'.join(path)} to {number:,}; a file may ask for at most {most:,}. Set it yourself, or say "
                "that you trust the file: --trust, or trust=True in Python."
            )


def _count(tables: Table) -> tuple[int, int]:
    """Returns how many names and values there are in nested tables and lists."""
    names = values = 0
    waiting: list[Table] = [tables]

    # A loop instead of a recursion, because the file decides how deep the tables are nested.
    while waiting:
        table = waiting.pop()
        names += len(table) if isinstance(table, dict) else 0
        values += len(table)
        inner = table.values() if isinstance(table, dict) else table
        waiting.extend(item for item in inner if isinstance(item, (dict, list, tuple)))
    return names, values


def check_name(name: str, what: str) -> None:
    """Checks that a name is valid in a line of text and as the name of a directory.

    Raises:
        UsageError: it can't.
    """
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise errors.UsageError(
            f"The name of {what} is {name[:60]!r}; expected 1 to {LONGEST_NAME} printable characters, it has {len(name):,}."
        )


def check_path(path: object) -> None:
    """Checks that a path is valid.

    Raises:
        UsageError: it is no text or `os.PathLike`, empty, too long for the operating system, or holds a zero character.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        kind = type(path).__name__
        raise errors.UsageError(f"The path is {str(path)[:60]!r}, of type {kind}; expected a text or a pathlib.Path.")
    if not text:
        raise errors.UsageError("The path is empty; expected the name of a file or directory.")
    _check_text(text, "The path")

    # File systems limit both the whole path and each name in it.
    names = os.fsencode(text).replace(os.fsencode(os.sep), b"/").split(b"/")
    if sum(map(len, names)) + len(names) > LONGEST_PATH or max(map(len, names)) > LONGEST_NAME:
        raise errors.UsageError(
            f"The path {text[:60]!r}, of {len(text):,} characters, is too long; expected at most {LONGEST_PATH:,} bytes, and "
            f"{LONGEST_NAME} in each name."
        )
