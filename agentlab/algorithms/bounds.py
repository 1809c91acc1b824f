"""Actions that are numbers within bounds: which environments have them, and how they are scaled."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.spec import Array, EnvironmentSpec, describe, is_array
from agentlab.types import Tensor


@attrs.frozen(eq=False)
class Bounds:
    """The bounds of an action, and the scale in which networks see it: -1 at the smallest action, 1 at the largest.

    Attributes:
        low: the smallest action, float32 in the action's shape.
        high: the largest.
    """

    low: np.ndarray
    high: np.ndarray

    def to_unit(self, action: Tensor) -> Tensor:
        """Returns actions `[N, *A]` scaled to -1 to 1, float32."""
        return (tf.cast(action, tf.float32) - (self.high + self.low) / 2.0) / ((self.high - self.low) / 2.0)


def bounds_of(spec: EnvironmentSpec, algorithm: str) -> Bounds:
    """Returns the bounds of an environment's actions.

    Raises:
        UsageError: they are no numbers, or an element has no finite bounds.
    """
    space = spec.action
    if not is_array(space) or np.dtype(space.dtype).kind != "f":
        raise errors.UsageError(
            f"{algorithm} needs actions that are numbers with fractions, within bounds; environment {spec.name!r} takes a "
            f"{describe(space)}. Choose another trainer, or another environment."
        )

    # The first element without two finite bounds, the lower below the upper, is named.
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    usable = np.isfinite(low) & np.isfinite(high) & (low < high)
    if not np.all(usable):
        place = tuple(map(int, np.argwhere(~usable)[0]))
        raise errors.UsageError(
            f"{algorithm} needs actions within finite bounds, the lower below the upper; element {list(place)} of those of "
            f"environment {spec.name!r} reaches from {low[place]} to {high[place]}. {_advice(space)}"
        )
    return Bounds(low, high)


def _advice(space: Array) -> str:
    box = f"gymnasium.spaces.Box(-1.0, 1.0, {space.shape})"
    wrapper = f"gymnasium.wrappers.TransformAction(gymnasium.make(ID), lambda action: action, {box})"
    return f"A wrapper bounds those of a Gymnasium environment: agentlab.run(TASK, environment=lambda: {wrapper})."
