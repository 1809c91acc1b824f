"""Checks of what crosses between an environment, an agent and a program's own loop: shapes, dtypes, ranges, finite numbers.

Each function raises an `EnvironmentFault` whose message is a clause that names the row; the caller adds who and when.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from agentlab.errors import EnvironmentFault, UsageError, first_line
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import TimeStep

FLOAT32_MAX = float(np.finfo(np.float32).max)
REWARD = Array(())


@attrs.frozen(eq=False)
class CheckedTimeStep(TimeStep):
    """A time step that its environment has checked already, so that the loop spares a second check."""


def expectation(space: Array | Discrete) -> str:
    """Returns what a number of a space must be, for messages."""
    if isinstance(space, Discrete):
        return f"0 to {space.num_values - 1}"
    if limits(space) is not None:
        return f"{space.minimum:g} to {space.maximum:g}"
    return f"a finite {space.dtype} number"


def limits(space: Array | Discrete) -> tuple[int, int] | None:
    """Returns the least and the largest whole number of a space, None where its dtype alone decides or it isn't of those.

    Numbers with fractions have no limits here: environments overstep those by rounding, and by design.
    """
    if isinstance(space, Discrete):
        return 0, space.num_values - 1
    if np.dtype(space.dtype).kind not in "iu":
        return None
    least, largest = (int(limit) for limit in (np.iinfo(space.dtype).min, np.iinfo(space.dtype).max))
    if space.minimum <= least and space.maximum >= largest:
        return None
    return int(max(space.minimum, least)), int(min(space.maximum, largest))


def complaint(row: int, name: str, element: list[int], value: Any, space: Array | Discrete) -> str:
    """Returns the clause that says which number is wrong, and what was expected."""
    return f"row {row}'s {name}{element or ''} is {value}; expected {expectation(space)}."


class Numbers:
    """Whether the numbers of an array are those of a space: finite, and within the limits of whole ones.

    Args:
        space: of one row.
        name: of the array, for messages.
    """

    def __init__(self, space: Array | Discrete, name: str) -> None:
        self.space = space
        self._name = name
        self._limits = limits(space)

    def check(self, array: np.ndarray, rows: Any = None) -> None:
        """Raises a fault unless all numbers are right.

        Args:
            array: `[N, *shape]` of the space's dtype.
            rows: `[N]`, the rows they are of, if not 0 to N - 1.
        """
        if self._limits is not None:
            low, high = self._limits
            right = (array >= low) & (array <= high)
        elif array.dtype.kind == "f":
            right = np.isfinite(array)
        else:
            return
        if np.count_nonzero(right) != array.size:  # a fifth of what all() takes
            self.fail(array, right, rows)

    def fail(self, array: np.ndarray, right: np.ndarray, rows: Any = None) -> None:
        """Raises the fault of the first number that isn't `right` (bool, of the array's shape)."""
        row, *element = np.argwhere(~right)[0].tolist()
        value = array[(row, *element)]
        raise EnvironmentFault(complaint(row if rows is None else int(rows[row]), self._name, element, value, self.space))


_REWARDS = Numbers(REWARD, "reward")


def as_reward(value: Any, row: int) -> float:
    """Returns one row's reward as a float, finite or not; an array of one element is taken as its number."""
    if value.__class__ is float:
        return value
    number = _single(value, "biufO")
    try:
        return float(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise EnvironmentFault(complaint(row, "reward", [], _short(value), REWARD)) from error


def as_end(value: Any, row: int, name: str) -> bool:
    """Returns one row's `terminated`, `truncated` or `first` as a bool; 0 and 1 are taken as such."""
    if value is True or value is False:
        return value
    number = _single(value, "biuf")
    if number not in (0, 1):
        raise EnvironmentFault(f"row {row}'s {name} is {_short(value)}; expected True or False.")
    return bool(number)


def as_rewards(values: Any, rows: int) -> np.ndarray:
    """Returns the rewards of all rows, a new array `[B]` float32."""
    array = _vector(values, rows, "reward")
    if array.dtype.kind not in "biuf":
        array = np.array([as_reward(value, row) for row, value in enumerate(_items(values, array))])
    return finite_rewards(array)


def finite_rewards(array: np.ndarray) -> np.ndarray:
    """Returns numbers `[B]` as a new array of float32, into which all of them must fit."""
    right = np.abs(array) <= FLOAT32_MAX  # nan compares as False
    if np.count_nonzero(right) != array.size:
        _REWARDS.fail(array, right)
    return array.astype(np.float32)


def as_ends(values: Any, rows: int, name: str) -> np.ndarray:
    """Returns `terminated`, `truncated` or `first` of all rows, a new array `[B]` bool."""
    array = _vector(values, rows, name)
    if array.dtype == np.bool_:
        return array.copy()
    return np.array([as_end(value, row, name) for row, value in enumerate(_items(values, array))], np.bool_)


def as_array(values: Any, space: Array | Discrete, rows: int, name: str) -> np.ndarray:
    """Returns `values` as an array `[B, *shape]` of the space's dtype, the same one if it is that already."""
    array = _any_array(values, name)
    shape = (rows, *space.shape)
    if array.shape != shape:
        raise EnvironmentFault(f"its {name} has shape {array.shape}; expected {shape}.")
    if array.dtype != space.dtype and not np.can_cast(array.dtype, space.dtype, "same_kind"):
        raise EnvironmentFault(f"its {name} has dtype {array.dtype}; expected {space.dtype}.")
    with np.errstate(over="ignore"):  # what becomes infinite is found by `Numbers`
        return array.astype(space.dtype, copy=False)


class TimeStepCheck:
    """Whether time steps are what a spec says; and their arrays in its dtypes.

    Args:
        spec: of the environment.
        rows: B.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        self._spec = spec
        self._rows = rows
        self._observation = Numbers(spec.observation, "observation")
        self._final_observation = Numbers(spec.observation, "final_observation")
        self._target = None if spec.target is None else Numbers(_without_least(spec.target), "target")
        self._action = Numbers(spec.action, "action")

    def beginning(self, timestep: Any) -> TimeStep:
        """Returns the time step of a reset with arrays of the spec's dtypes; it may lack a target, as no action led there.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if not isinstance(timestep, TimeStep) or not is_missing(timestep.target) or self._target is None:
            return self.timestep(timestep)
        return self.timestep(attrs.evolve(timestep, target=self._blank_target()))

    def timestep(self, timestep: Any) -> TimeStep:
        """Returns the time step with arrays of the spec's dtypes.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if not isinstance(timestep, TimeStep):
            raise EnvironmentFault(f"it returned {_short(timestep)}; expected an agentlab.TimeStep.")
        rows, space = self._rows, self._spec.observation
        observation = as_array(timestep.observation, space, rows, "observation")
        self._observation.check(observation)
        final_observation = observation
        if timestep.final_observation is not timestep.observation:
            final_observation = as_array(timestep.final_observation, space, rows, "final_observation")
            self._final_observation.check(final_observation)
        first = () if is_missing(timestep.first) else as_ends(timestep.first, rows, "first")
        return CheckedTimeStep(
            observation=observation,
            reward=as_rewards(timestep.reward, rows),
            terminated=as_ends(timestep.terminated, rows, "terminated"),
            truncated=as_ends(timestep.truncated, rows, "truncated"),
            final_observation=final_observation,
            target=self._checked_target(timestep.target, first),
            first=first,
        )

    def _checked_target(self, target: Any, first: Any) -> Any:
        if self._target is None:
            return ()
        if is_missing(target):
            if is_missing(first) or not first.all():
                raise EnvironmentFault(f"it has no target; expected a {self._spec.target} for every row.")
            return self._blank_target()
        array = as_array(target, self._target.space, self._rows, "target")
        self._target.check(array)
        return array

    def _blank_target(self) -> np.ndarray:
        """Returns what stands for the targets of rows to which no action led."""
        space = self._spec.target or self._spec.action
        return np.zeros((self._rows, *space.shape), space.dtype)

    def action(self, action: Any) -> np.ndarray:
        """Returns actions `[B, *A]`, counted from 0 where they are choices, as an array of the spec's dtype.

        Raises:
            EnvironmentFault: they are not actions of the spec; the message is a clause.
        """
        array = as_array(action, self._spec.action, self._rows, "action")
        self._action.check(array)
        return array


class EnvironmentCheck:
    """Checks each time step of an environment on the host, unless the environment did.

    Args:
        spec: of the environment.
        rows: B.

    Attributes:
        turns: steps taken since the beginning, for messages.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        self.turns = 0
        self._name = spec.name
        self._check = TimeStepCheck(spec, rows)

    def begin(self, timestep: Any) -> TimeStep:
        """Returns the time step of a reset, checked.

        Raises:
            EnvironmentFault: something is wrong with it.
        """
        try:
            return self._check.beginning(timestep)
        except EnvironmentFault as error:
            raise failure(self._name, 0, str(error)) from error

    def take(self, timestep: Any, action: np.ndarray) -> TimeStep:
        """Returns the time step that `action` `[B, *A]` led to, checked.

        Raises:
            EnvironmentFault: something is wrong with it.
            UsageError: something is wrong with the action.
        """
        self.turns += 1
        if timestep.__class__ is CheckedTimeStep:
            return timestep
        try:
            self._check.action(action)
        except EnvironmentFault as error:
            raise unfit_action(self._name, self.turns, str(error)) from error
        try:
            return self._check.timestep(timestep)
        except EnvironmentFault as error:
            raise failure(self._name, self.turns, str(error)) from error


def failure(name: str, turn: int, clause: str) -> EnvironmentFault:
    """Returns the fault of an environment at its vector step `turn`, 0 being the reset."""
    when = f"vector step {turn}" if turn else "reset"
    return EnvironmentFault(f"The environment {name} failed at {when}: {clause}")


def unfit_action(name: str, turn: int, clause: str) -> UsageError:
    """Returns what tells of actions that an environment doesn't take, at its vector step `turn`."""
    return UsageError(f"{name} can't take its actions at vector step {turn}: {clause}")


def is_missing(leaf: Any) -> bool:
    """Whether a leaf of a time step is `()`."""
    return isinstance(leaf, tuple) and not leaf


def _without_least(space: Array | Discrete) -> Array | Discrete:
    """Returns the space of targets: of choices, a negative one means that there is nothing to be right about."""
    if isinstance(space, Array):
        return space
    return Array(space.shape, space.dtype, maximum=space.num_values - 1)


def _vector(values: Any, rows: int, name: str) -> np.ndarray:
    """Returns `values` as an array `[B]`; of one row, a number alone will do."""
    array = _any_array(values, name)
    if array.shape == (rows,):
        return array
    if array.size == rows == 1:
        return array.reshape(1)
    raise EnvironmentFault(f"its {name} has shape {array.shape}; expected {(rows,)}.")


def _items(values: Any, array: np.ndarray) -> list[Any]:
    """Returns the elements of a vector as they were given: in one array, NumPy would make text of numbers beside a text."""
    return list(values) if isinstance(values, (list, tuple)) else array.tolist()


def _any_array(values: Any, name: str) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # lists of different lengths
        raise EnvironmentFault(f"its {name} is no array: {first_line(error)}.") from error


def _single(value: Any, kinds: str) -> Any:
    """Returns the number that a scalar or an array of one element holds, None if it holds another kind or more of them."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    return array.item() if array.size == 1 and array.dtype.kind in kinds else None


def _short(value: Any) -> str:
    """Returns a value as text of one line and bounded length, as messages show it."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
