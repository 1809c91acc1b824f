"""The error of a broken contract: what was expected, and what the part did instead."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from agentlab.system import ranges
from agentlab.types import Nest


class Violation(AssertionError):
    """A part violates a line of its contract; pytest reports it as a failure.

    Attributes:
        expected: what the contract says.
        got: what the part did.
    """

    def __init__(self, expected: str, got: object) -> None:
        super().__init__(f"expected {expected}; got {got}")
        self.expected, self.got = expected, got


def expect(holds: object, expected: str, got: object) -> None:
    """Raises a Violation unless `holds`."""
    if not holds:
        raise Violation(expected, got)


def expect_same(one: Nest, other: Nest, expected: str, exact: bool = True) -> None:
    """Raises a Violation that names the first leaf in which two structures of arrays differ.

    Args:
        one: arrays, or classes of attrs, tuples or tables of them.
        other: a structure of the same kind.
        expected: that they are the same, as a clause.
        exact: bit by bit; else floats may differ by 1e-5 of their size, and 1e-5.
    """
    left, right = leaves(one), leaves(other)
    expect(left.keys() == right.keys(), expected, f"the leaves {sorted(left)} and {sorted(right)}")
    for name, value in left.items():
        difference = _difference(value, right[name], exact)
        expect(not difference, expected, f"{name or 'values'} that differ: {difference}")


def expect_in_range(spans: dict[str, ranges.Range], arrays: dict[str, Any]) -> None:
    """Raises a Violation unless the arrays that have a range hold numbers of it only; of each name there has to be an array."""
    unknown = sorted(spans.keys() - arrays.keys())
    expect(not unknown, f"ranges of {', '.join(sorted(arrays))}", ", ".join(unknown))
    limited = ranges.resolved(spans, lambda name: int(arrays[name].numpy()))
    clauses = {name: ranges.complaint(np.asarray(arrays[name]), span) for name, span in limited.items()}
    wrong = [f"{name} as {clause}" for name, clause in clauses.items() if clause]
    expect(not wrong, "numbers in their ranges, or a checkpoint could not be restored", "; ".join(wrong))


def is_same(one: Nest, other: Nest) -> bool:
    """Whether two structures of arrays have the same leaves, bit by bit."""
    left, right = leaves(one), leaves(other)
    return left.keys() == right.keys() and not any(_difference(value, right[name], True) for name, value in left.items())


def leaves(value: Nest, name: str = "") -> dict[str, np.ndarray]:
    """Returns the arrays of a structure by a dotted name."""
    if attrs.has(type(value)):
        named = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    elif isinstance(value, dict):
        named = value
    elif isinstance(value, (tuple, list)):
        named = {str(index): item for index, item in enumerate(value)}
    else:
        return {name: np.asarray(value)}

    # A dotted name leads to each array, for messages.
    arrays: dict[str, np.ndarray] = {}
    for key, item in named.items():
        arrays.update(leaves(item, f"{name}.{key}" if name else str(key)))
    return arrays


def shape_and_dtype(value: object) -> str:
    """Returns how a message names an array or tensor, or the type of anything else."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = getattr(value.dtype, "name", value.dtype)
        return f"{dtype} of shape {tuple(value.shape)}"
    return f"{value!r} of type {type(value).__name__}"


def _difference(left: np.ndarray, right: np.ndarray, exact: bool) -> str:
    """Returns where two arrays differ, "" if nowhere."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return f"{shape_and_dtype(left)} and {shape_and_dtype(right)}"

    # nan is the same as nan here, and floats of another execution may round differently.
    same = left == right
    if np.issubdtype(left.dtype, np.floating):
        same |= np.isnan(left) & np.isnan(right)
        if not exact:
            same |= np.isclose(left, right, rtol=1e-5, atol=1e-5)
    if np.all(same):
        return ""
    place = tuple(int(index) for index in np.argwhere(~np.atleast_1d(same))[0])
    return f"{np.atleast_1d(left)[place]} and {np.atleast_1d(right)[place]} at {place}"
