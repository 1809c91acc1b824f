"""Ranges of a variable's numbers: a checkpoint with others is refused before they are used."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from agentlab.system.arrays import ArrayFile, ArrayLike
from agentlab.system.files import UnreadableError


@dataclasses.dataclass(frozen=True)  # attrs' classes are taken apart by TensorFlow's structures, in which these stand
class Range:
    """What every number of a variable is: finite, and from `minimum` to `maximum`.

    Attributes:
        minimum: the least.
        maximum: the largest; or the name of the part's variable that holds it, one whole number.
        used: how many elements, counted through all axes, can be other than 0; None for all.
    """

    minimum: float = -math.inf
    maximum: float | str = math.inf
    used: int | None = None


FINITE = Range()
COUNT = Range(0, 2**53)  # a float64 holds every whole number up to there
HOST_SEED = Range(0, 2**31 - 1)  # what `seeds.host_seed` returns


def prefixed(prefix: str, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Returns ranges by names that begin with `prefix`, as a part's variables have among those of others."""
    return {f"{prefix}{name}": _renamed(prefix, span) for name, span in ranges.items()}


def _renamed(prefix: str, span: Range) -> Range:
    return dataclasses.replace(span, maximum=f"{prefix}{span.maximum}") if isinstance(span.maximum, str) else span


def resolved(ranges: Mapping[str, Range], number: Callable[[str], int]) -> dict[str, Range]:
    """Returns ranges whose limits are numbers; `number` returns what a variable holds."""
    return {
        name: dataclasses.replace(span, maximum=number(span.maximum)) if isinstance(span.maximum, str) else span
        for name, span in ranges.items()
    }


def complaint(array: np.ndarray, span: Range, begin: int = 0) -> str:
    """Returns a clause about the first number that is out of its range, empty if none is.

    Args:
        array: some of a variable's elements.
        span: whose limits are numbers.
        begin: how many elements of the variable come before.
    """
    # Whole numbers are finite by nature.
    flat = array.reshape(-1)
    if span == FINITE and flat.dtype.kind in "biu":
        return ""

    # Rows that were never written hold zeros, whatever the range.
    unused = max(0, span.used - begin) if span.used is not None else len(flat)
    right = _is_right(flat, span)
    right[unused:] &= flat[unused:] == 0
    if np.count_nonzero(right) == len(flat):
        return ""
    place = int(np.argmin(right))
    where = f" at element {begin + place:,}" if array.ndim else ""
    return f"{flat[place]}{where}; expected {'0' if place >= unused else _expectation(span, flat.dtype)}"


def _is_right(flat: np.ndarray, span: Range) -> np.ndarray:
    """Returns which numbers are finite and within limits; those that are infinite needn't be compared."""
    whole = flat.dtype.kind in "biu"
    right = np.ones(flat.shape, np.bool_) if whole else np.isfinite(flat)
    if span.minimum != -math.inf:
        right &= flat >= span.minimum
    if span.maximum != math.inf:
        right &= flat <= span.maximum
    return right


def _expectation(span: Range, dtype: np.dtype) -> str:
    if span.maximum == math.inf:
        number = "a whole number" if dtype.kind in "biu" else "a finite number"
        return number if span.minimum == -math.inf else f"{number} of at least {span.minimum:g}"
    if span.minimum == -math.inf:
        return f"at most {span.maximum:,}"
    return f"{span.minimum:,} to {span.maximum:,}" if span.minimum != span.maximum else f"{span.minimum:,}"


class CheckedFile:
    """A file of arrays that were approved of, whose numbers are compared with their ranges as they are read.

    Args:
        file: with the arrays.
        ranges: by name; the others may hold any numbers.

    Raises:
        UnreadableError: the file was changed since it was opened, or a limit that another variable holds is out of its range.
    """

    def __init__(self, file: ArrayFile, ranges: Mapping[str, Range]) -> None:
        self._file = file
        limits = {span.maximum for span in ranges.values() if isinstance(span.maximum, str)}
        likes = file.likes()
        self._ranges = {name: span for name, span in ranges.items() if not isinstance(span.maximum, str)}
        held = {name: int(self.read(name, likes[name])) for name in sorted(limits)}
        self._ranges = resolved(ranges, held.__getitem__)

    def read(self, name: str, like: ArrayLike, rows: range | None = None) -> np.ndarray:
        """Returns what `ArrayFile.read` does.

        Raises:
            UnreadableError: the file was changed since it was opened, or a number is out of its range.
        """
        array = self._file.read(name, like, rows)
        if name in self._ranges:
            begin = rows.start * math.prod(array.shape[1:]) if rows else 0
            if clause := complaint(array, self._ranges[name], begin):
                raise UnreadableError(f"{self._file.name} has {name} as {clause}")
        return array
