"""Checks values that pass between environment, agent and a program's own loop: shapes, dtypes, ranges, finite numbers.

Each function raises an `EnvironmentFault` whose message is a clause that names the row; the caller adds who and when.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from agentlab.errors import EnvironmentFault, first_line
from agentlab.spec import Array, Space, SpaceNest, joined, leaves_of, pairs_of
from agentlab.system.ranges import FINITE, Range
from agentlab.types import Nest

FLOAT32_MAX = float(np.finfo(np.float32).max)
REWARD = Array(())
FEW = 16  # numbers, which Python checks in a third of the time that NumPy takes


def range_of(space: Space) -> Range:
    """Returns the range of the numbers of a space."""
    if space.limits is None:
        return FINITE
    low, high = space.limits
    return Range(int(np.min(low)), int(np.max(high)))


def ranges_of(space: SpaceNest, name: str) -> dict[str, Range]:
    """Returns the ranges of the arrays of a nest, by the names that its variables have, see `agentlab.tensors.state`."""
    return {f"{name}/{path}" if path else name: range_of(leaf) for path, leaf in leaves_of(space).items()}


def complaint(row: int, name: str, element: list[int], value: object, space: Space) -> str:
    """Returns a clause that says which number is wrong, and what was expected."""
    return f"row {row}'s {name}{element or ''} is {value}; expected {space.expected(tuple(element))}."


class Numbers:
    """Checks the numbers of an array against a space: finite, and whole numbers within their limits.

    Args:
        space: of one row.
        name: of the array, for messages.
    """

    def __init__(self, space: Space, name: str) -> None:
        self.space = space
        self._name = name
        self._limits = space.limits
        self._are_right = _check_of_few(space)

    def check(self, array: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Raises a fault unless all numbers are right.

        Args:
            array: `[N, *shape]` of the space's dtype.
            rows: `[N]`, the rows they are of, if not 0 to N - 1.
        """
        # A few numbers are checked faster by Python than by NumPy.
        if array.size <= FEW and self._are_right(array.ravel().tolist()):
            return

        # Whole numbers have limits; floating-point numbers only have to be finite.
        if self._limits is not None:
            low, high = self._limits
            right = (array >= low) & (array <= high)
        elif array.dtype.kind == "f":
            right = np.isfinite(array)
        else:
            return
        if np.count_nonzero(right) != array.size:  # a fifth of what all() takes
            self.fail(array, right, rows)

    def fail(self, array: np.ndarray, right: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Raises the fault of the first number that isn't `right` (bool, of the array's shape)."""
        row, *element = np.argwhere(~right)[0].tolist()
        value = array[(row, *element)]
        raise EnvironmentFault(complaint(row if rows is None else int(rows[row]), self._name, element, value, self.space))


def _check_of_few(space: Space) -> Callable[[list[Any]], bool]:
    """Returns a function that quickly checks all numbers in a list, or returns False if it can't."""
    if space.limits is None:
        return _are_finite if np.dtype(space.dtype).kind == "f" else lambda _: True
    low, high = (limit.tolist() for limit in space.limits)
    if isinstance(low, list) or isinstance(high, list):  # limits of each element
        return lambda _: False
    return lambda numbers: not numbers or (low <= min(numbers) and max(numbers) <= high)


def _are_finite(numbers: list[float]) -> bool:
    return all(map(math.isfinite, numbers))


class Values:
    """Checks the arrays of a nest against its spaces: shape, dtype and numbers, see `Numbers`.

    Args:
        space: of one row.
        name: of the whole, for messages; entries have their path besides, as in "observation 'camera/left'".

    Attributes:
        check: raises a fault unless all numbers of a nest `[N, *shape]` of the spaces' dtypes are right.
    """

    def __init__(self, space: SpaceNest, name: str) -> None:
        self.space = space
        self.name = name
        self._leaves = {path: Numbers(leaf, entry_name(name, path)) for path, leaf in leaves_of(space).items()}
        # Of a single array, as most environments have it: a walk through the entries takes microseconds of every step.
        self.check: Callable[[Nest], None] = self._check_entries if isinstance(space, dict) else self._leaves[""].check

    def _check_entries(self, value: Nest) -> None:
        for numbers, (_, array) in zip(self._leaves.values(), pairs_of(self.space, value), strict=True):
            numbers.check(array)

    def arrays(self, value: Nest, rows: int) -> Nest:
        """Returns a nest of values as arrays `[B, *shape]` of the spaces' dtypes, checked; the same ones where they are that.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if not isinstance(self.space, dict):  # as in most environments; the rest of the way costs microseconds
            array = as_array(value, self.space, rows, self.name)
            self.check(array)
            return array
        return self._entries(value, self.space, rows, "")

    def _entries(self, value: Nest, space: SpaceNest, rows: int, path: str) -> Nest:
        if not isinstance(space, dict):
            array = as_array(value, space, rows, entry_name(self.name, path))
            self._leaves[path].check(array)
            return array
        if not isinstance(value, dict) or value.keys() != space.keys():
            names = sorted(map(str, value)) if isinstance(value, dict) else short(value)
            raise EnvironmentFault(f"its {entry_name(self.name, path)} has {names}; expected the entries {sorted(space)}.")
        return {name: self._entries(value[name], space[name], rows, joined(path, name)) for name in sorted(space)}


def entry_name(name: str, path: str) -> str:
    """Returns the name of an entry of a nest, for messages."""
    return f"{name} {path!r}" if path else name


_REWARDS = Numbers(REWARD, "reward")


def as_reward(value: object, row: int) -> float:
    """Returns one row's reward as a float, finite or not; an array of one element is taken as its number."""
    if value.__class__ is float:
        return value

    # Any number-like value, such as NumPy's or a Fraction.
    number = _single(value, "biufO")
    try:
        return float(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise EnvironmentFault(complaint(row, "reward", [], short(value), REWARD)) from error


def as_end(value: object, row: int, name: str) -> bool:
    """Returns one row's `terminated`, `truncated` or `acted` as a bool; 0 and 1 are taken as such."""
    if value is True or value is False:
        return value
    number = _single(value, "biuf")
    if number not in (0, 1):
        raise EnvironmentFault(f"row {row}'s {name} is {short(value)}; expected True or False.")
    return bool(number)


def as_rewards(values: object, rows: int) -> np.ndarray:
    """Returns the rewards of all rows, a new array `[B]` float32."""
    array = _vector(values, rows, "reward")
    if array.dtype.kind not in "biuf":
        array = np.array([as_reward(value, row) for row, value in enumerate(_items(values, array))])
    return finite_rewards(array)


def finite_rewards(array: np.ndarray) -> np.ndarray:
    """Returns numbers `[B]` as a new array of float32, into which all of them must fit."""
    if array.size <= FEW and all(-FLOAT32_MAX <= number <= FLOAT32_MAX for number in array.tolist()):
        return array.astype(np.float32)
    right = np.abs(array) <= FLOAT32_MAX  # nan compares as False
    if np.count_nonzero(right) != array.size:
        _REWARDS.fail(array, right)
    return array.astype(np.float32)


def as_ends(values: object, rows: int, name: str) -> np.ndarray:
    """Returns `terminated`, `truncated` or `acted` of all rows, a new array `[B]` bool."""
    array = _vector(values, rows, name)
    if array.dtype == np.bool_:
        return array.copy()
    return np.array([as_end(value, row, name) for row, value in enumerate(_items(values, array))], np.bool_)


def as_array(values: object, space: Space, rows: int, name: str) -> np.ndarray:
    """Returns `values` as an array `[B, *shape]` of the space's dtype, the same one if it is that already."""
    array = _any_array(values, name)
    shape = (rows, *space.shape)
    if array.shape != shape:
        raise EnvironmentFault(f"its {name} has shape {array.shape}; expected {shape}.")
    if array.dtype == space.dtype:
        return array
    if not np.can_cast(array.dtype, space.dtype, "same_kind"):
        raise EnvironmentFault(f"its {name} has dtype {array.dtype}; expected {space.dtype}.")
    with np.errstate(over="ignore"):  # what becomes infinite is found by `Numbers`
        return array.astype(space.dtype, copy=False)


def _vector(values: object, rows: int, name: str) -> np.ndarray:
    """Returns `values` as an array `[B]`; of one row, a number alone will do."""
    array = _any_array(values, name)
    if array.shape == (rows,):
        return array
    if array.size == rows == 1:
        return array.reshape(1)
    raise EnvironmentFault(f"its {name} has shape {array.shape}; expected {(rows,)}.")


def _items(values: object, array: np.ndarray) -> list[Any]:
    """Returns the elements of a vector as they were given: in one array, NumPy would make text of numbers beside a text."""
    return list(values) if isinstance(values, (list, tuple)) else array.tolist()


def _any_array(values: object, name: str) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # lists of different lengths
        raise EnvironmentFault(f"its {name} is not an array: {first_line(error)}.") from error


def _single(value: object, kinds: str) -> Any:
    """Returns the number that a scalar or an array of one element holds, None if it holds another kind or more of them."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    return array.item() if array.size == 1 and array.dtype.kind in kinds else None


def short(value: object) -> str:
    """Returns a value as one line of limited length, for messages."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
