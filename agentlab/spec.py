"""Specs: the shape, dtype and range of what an environment shows and accepts."""

from __future__ import annotations

import math
import sys
from typing import Any

import attrs
import numpy as np

from agentlab import errors, vocabulary
from agentlab.vocabulary import Vocabulary

DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
MOST_AXES = 32  # of an array
LARGEST = 2**28  # elements of an observation or an action, or values to choose among, that a file is believed


@attrs.frozen
class Array:
    """An array of numbers.

    Attributes:
        shape: without the batch axis.
        dtype: NumPy's name of it.
        minimum: the smallest value any element can take.
        maximum: the largest.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    minimum: float = -math.inf
    maximum: float = math.inf

    def __str__(self) -> str:
        return f"{self.dtype} array of shape {self.shape}"

    @property
    def choices(self) -> tuple[int, ...]:
        """The axes of an action before the last, which a model's outputs spell out."""
        return self.shape[:-1]

    def outward(self, action: np.ndarray) -> np.ndarray:
        """Returns actions as the environment itself names them: as they are."""
        return action


@attrs.frozen
class Discrete:
    """A choice among `num_values` values, 0 to `num_values - 1`; with a `shape`, one such choice per element.

    Models, memories and `Environment.step` count from 0. Where an environment itself counts from another number, as
    Gymnasium's `Discrete(3, start=1)` does, `start` is that number: `Agent.act` and `Agent.step` add it.

    Attributes:
        num_values: how many.
        dtype: NumPy's name of it.
        shape: without the batch axis.
        start: what the environment itself calls the first value.
    """

    num_values: int
    dtype: str = "int64"
    shape: tuple[int, ...] = ()
    start: int = 0

    def __str__(self) -> str:
        several = f"{self.shape} choices, each" if self.shape else "choice"
        return f"{several} among {self.num_values} values"

    @property
    def choices(self) -> tuple[int, ...]:
        """The axes of an action, each element of which is a choice of its own."""
        return self.shape

    def outward(self, action: np.ndarray) -> np.ndarray:
        """Returns actions as the environment itself names them, counted from `start`."""
        return action + self.start if self.start else action


@attrs.frozen
class EnvironmentSpec:
    """What an environment shows, accepts and how long its episodes can last.

    Attributes:
        name: for messages.
        observation: one environment's observation, without the batch axis.
        action: one environment's action.
        max_episode_steps: episodes are truncated after so many steps; None if the environment keeps its own limit, or none.
        target: the right answer to an action, where the environment knows it.
        num_episodes: of a finite data set, how many episodes read it through once; None where there is no such end.
        vocabulary: what the numbers of observations and actions stand for, where they stand for text.
    """

    name: str
    observation: Array
    action: Array | Discrete
    max_episode_steps: int | None = None
    target: Array | Discrete | None = None
    num_episodes: int | None = None
    vocabulary: Vocabulary | None = None

    def as_data(self) -> dict[str, Any]:
        """Returns the spec as JSON can hold it, the inverse of `from_data`."""
        spaces = {name: _space_as_data(getattr(self, name)) for name in ("observation", "action", "target")}
        known = self.vocabulary.as_data() if self.vocabulary is not None else None
        limits = {"max_episode_steps": self.max_episode_steps, "num_episodes": self.num_episodes}
        return {"name": self.name, **spaces, **limits, "vocabulary": known}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> EnvironmentSpec:
        """Returns the spec that `as_data` described.

        Raises:
            UsageError: it describes none.
        """
        try:
            spaces = {name: _space_from_data(data[name]) for name in ("observation", "action", "target")}
            known = vocabulary.from_data(data["vocabulary"]) if data["vocabulary"] is not None else None
            found = cls(**{**data, **spaces, "vocabulary": known})
            limits = (found.max_episode_steps, found.num_episodes)
            if not isinstance(found.name, str) or spaces["observation"] is None or spaces["action"] is None:
                raise TypeError("a name or a space is missing")
            if not isinstance(found.observation, Array) or not all(limit is None or type(limit) is int for limit in limits):
                raise TypeError("an observation is no array, or a limit no whole number")
            return found
        except (KeyError, TypeError) as error:
            raise errors.UsageError(
                f"The spec {str(data)[:60]!r} can't be read: {error}. Expected that of a run's config.json."
            ) from error


def _space_as_data(space: Array | Discrete | None) -> dict[str, Any] | None:
    """Returns a space as JSON can hold it, which knows no infinity."""
    if space is None:
        return None
    values = attrs.asdict(space)
    return {name: None if value in (-math.inf, math.inf) else value for name, value in values.items()}


def _space_from_data(data: Any) -> Any:
    """Returns the space that was described; raises TypeError where none was, or a part is larger than any run's could be."""
    if data is None:
        return None
    if not isinstance(data, dict):
        raise TypeError(f"a space is {str(data)[:40]!r}")
    values = {name: value for name, value in data.items() if value is not None}
    shape = values.get("shape")
    if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(_is_size(size) for size in shape):
        raise TypeError(f"a shape is {str(shape)[:40]!r}")
    if values.get("dtype") not in DTYPES:
        raise TypeError(f"a dtype is {str(values.get('dtype'))[:40]!r}")
    if "num_values" in values and not (_is_size(values["num_values"]) and values["num_values"] > 0):
        raise TypeError(f"num_values is {str(values['num_values'])[:40]!r}")
    if math.prod(shape) * values.get("num_values", 1) > LARGEST:
        raise TypeError(f"a space of shape {str(shape)[:40]} has more than {LARGEST:,} numbers")
    if values.get("start", 0) != 0 and not _is_start(values["start"], values.get("num_values", 1), values["dtype"]):
        raise TypeError(f"a start is {str(values['start'])[:40]!r}")
    for name in {"minimum", "maximum"} & values.keys():
        values[name] = _as_float(values[name])
    return (Discrete if "num_values" in values else Array)(**{**values, "shape": tuple(shape)})


def _as_float(value: Any) -> float:
    """Returns a bound as a number; raises TypeError where it is none."""
    if not isinstance(value, (int, float)) or abs(value) > sys.float_info.max:
        raise TypeError("minimum or maximum is no number")
    return value


def _is_start(start: Any, num_values: Any, dtype: str) -> bool:
    """Whether choices can be counted from `start` in whole numbers of a dtype."""
    if type(start) is not int or np.dtype(dtype).kind not in "iu":
        return False
    bounds = np.iinfo(dtype)
    return int(bounds.min) <= start and start + num_values - 1 <= int(bounds.max)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def conform(observation: Any, spec: Array, who: str) -> np.ndarray:
    """Returns `observation` `[*batch, *shape]` as an array of the spec's dtype.

    Raises:
        UsageError: the shape does not end in the spec's, or the values cannot be represented in its dtype.
    """
    try:
        array = np.asarray(observation)
    except (ValueError, TypeError) as error:  # lists of different lengths
        raise errors.UsageError(
            f"{who} got an observation that is no array: {errors.first_line(error)}. Expected shape {spec.shape}, or a batch."
        ) from error
    rank = len(spec.shape)
    if array.ndim < rank or array.shape[array.ndim - rank :] != spec.shape:
        raise errors.UsageError(f"{who} got an observation of shape {array.shape}; expected {spec.shape}, or a batch of such.")
    if array.dtype != spec.dtype and not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise errors.UsageError(f"{who} got an observation of dtype {array.dtype}; expected {spec.dtype}.")
    with np.errstate(over="ignore"):  # what becomes infinite is for `checks` to find
        return array.astype(spec.dtype, copy=False)
