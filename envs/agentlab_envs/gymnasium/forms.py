"""Observations as arrays of the shape and dtype that a space says, and one row's written into those of all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from agentlab import errors
from agentlab.checks.values import entry_name
from agentlab.types import Nest, Shape
from agentlab_envs.gymnasium import nests as nests


def writer(observations: Any) -> Callable[[int, Nest], None]:
    """Returns a function that writes one row's observation into those of all."""
    return functools.partial(_put, observations) if isinstance(observations, dict) else observations.__setitem__


def _put(observations: Nest, row: int, observation: Nest) -> None:
    """Writes one row's observation into those of all."""
    for name, array in observations.items():
        if isinstance(array, dict):
            _put(array, row, observation[name])
        else:
            array[row] = observation[name]


class Form:
    """The shape and dtype of one array of observations.

    Args:
        space: of one observation.
        lead: the axes of a batch.
        path: of the array in an observation of several.
    """

    __slots__ = ("dtype", "name", "shape")  # looked up at every step, where Gymnasium's spaces compute them

    def __init__(self, space: gymnasium.Space, lead: Shape = (), path: str = "") -> None:
        self.shape = (*lead, *space.shape)  # type: ignore[misc]
        self.dtype: Any = space.dtype
        self.name = entry_name("observation", path)

    def array(self, observed: object, make: Callable[[Any], np.ndarray] = np.array) -> np.ndarray:
        """Returns an environment's observation as an array, a new one by default.

        Raises:
            EnvironmentFault: its shape or kind of numbers is another; the message is a clause without a subject.
        """
        try:
            array = make(observed)
        except (ValueError, TypeError) as error:  # lists of different lengths
            raise errors.EnvironmentFault(
                f"returned an {self.name} that is not an array: {errors.first_line(error)}."
            ) from error

        # Numbers may be of a narrower dtype, but never of another shape or kind.
        if array.shape == self.shape and (array.dtype == self.dtype or np.can_cast(array.dtype, self.dtype, "same_kind")):
            return array
        raise errors.EnvironmentFault(
            f"returned an {self.name} {array.dtype}{list(array.shape)}; its observation space says "
            f"{self.dtype}{list(self.shape)}."
        )


def former(space: gymnasium.Space, lead: Shape = (), make: Callable[[Any], np.ndarray] = np.array) -> Callable[[Any], Nest]:
    """Returns a function that converts an environment's observations to a mapping of arrays, or one array, see `Form`."""
    forms = {path: Form(leaf, lead, path) for path, leaf in nests.leaves_of(space).items()}
    if "" in forms and nests.kind_of(space) is None:
        return forms[""].array if make is np.array else lambda observed: forms[""].array(observed, make)
    return lambda observed: nests.gather(space, observed, lambda _, value, path: forms[path].array(value, make), "observation")
