"""Specs: the shape, dtype and range of what an environment shows and accepts."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from agentlab import errors


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


@attrs.frozen
class Discrete:
    """A choice among `num_values` values, 0 to `num_values - 1`; with a `shape`, one such choice per element."""

    num_values: int
    dtype: str = "int64"
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        several = f"{self.shape} choices, each" if self.shape else "choice"
        return f"{several} among {self.num_values} values"

    @property
    def choices(self) -> tuple[int, ...]:
        """The axes of an action, each element of which is a choice of its own."""
        return self.shape


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
    """

    name: str
    observation: Array
    action: Array | Discrete
    max_episode_steps: int | None = None
    target: Array | Discrete | None = None
    num_episodes: int | None = None


def conform(observation: Any, spec: Array, who: str) -> np.ndarray:
    """Returns `observation` `[*batch, *shape]` as an array of the spec's dtype.

    Raises:
        UsageError: the shape does not end in the spec's, or the values cannot be represented in its dtype.
    """
    array = np.asarray(observation)
    rank = len(spec.shape)
    if array.ndim < rank or array.shape[array.ndim - rank :] != spec.shape:
        raise errors.UsageError(f"{who} got an observation of shape {array.shape}; expected {spec.shape}, or a batch of such.")
    if array.dtype != spec.dtype and not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise errors.UsageError(f"{who} got an observation of dtype {array.dtype}; expected {spec.dtype}.")
    return array.astype(spec.dtype, copy=False)
