"""Entries of a sweep's tables, checked as they are taken out."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, TypeVar

from agentlab import errors
from agentlab.sweeps.seeds import MOST_SEEDS, parse_seeds

T = TypeVar("T")
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a table"}


class Table:
    """A table of a sweep file, of which every entry has to be known.

    Args:
        data: the entries.
        where: the table's name with a dot behind it, for messages; empty for the whole file.
        known: names that entries may have; by default those that they have.

    Raises:
        UsageError: an entry has another name.
    """

    def __init__(self, data: dict[str, Any], where: str = "", known: Collection[str] | None = None) -> None:
        self._data, self._where = data, where
        for name in data:
            if known is not None and name not in known:
                listed = f"Settings of {where.rstrip('.') or 'a sweep'}"
                raise errors.UsageError(errors.unknown("setting", str(name), known, listed))

    def entry(self, name: str, kind: type[T], default: T | None = None) -> T:
        """Returns an entry; the default if it is missing.

        Raises:
            UsageError: it is of another type, or missing without a default.
        """
        value = self._data.get(name, default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (kind is float and not math.isfinite(value)):  # type: ignore[arg-type]
            raise self.wrong(name, NAMES[kind])
        return value

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Returns an entry, None if it is missing."""
        return self.entry(name, kind) if name in self._data else None

    def positive(self, name: str, default: int, most: float = math.inf) -> int:
        """Returns a whole number from 1 to `most`, which is unlimited by default."""
        value = self.entry(name, int, default)
        if value < 1:
            raise self.wrong(name, "a whole number of at least 1")
        if value > most:
            raise self.wrong(name, f"at most {most:,}")
        return value

    def seeds(self, name: str, default: str) -> list[int]:
        """Returns seeds, which are a text such as "0-4" or a list of whole numbers."""
        value = self._data.get(name, default)
        if isinstance(value, str):
            return parse_seeds(value, f"{self._where}{name}")
        plain = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
        if not plain or len(value) > MOST_SEEDS:
            raise self.wrong(name, f'a text such as "0-4", or a list of at most {MOST_SEEDS:,} whole numbers')
        return list(dict.fromkeys(value))

    def wrong(self, name: str, expected: str) -> errors.UsageError:
        """Returns the error of an entry that is wrong or missing."""
        place = f"{self._where}{name}"
        if name not in self._data:
            return errors.UsageError(f"The sweep has no {place}; expected {expected}.")
        return errors.UsageError(f"{place} is {errors.quoted(self._data[name])}; expected {expected}.")
