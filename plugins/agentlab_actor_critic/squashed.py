"""The distribution of a deterministic policy within bounds."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab.distribution import Deterministic, uniform_between
from agentlab.types import Seed, Tensor


@attrs.frozen(eq=False, kw_only=True)
class Squashed(Deterministic):
    """One action: the outputs, squashed by tanh into the bounds.

    Attributes:
        low: the smallest action, an array of an action's shape.
        high: the largest.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.low, self.high

    def explore(self, choices: Tensor, seed: Seed) -> Tensor:
        return uniform_between(self.low, self.high, choices, seed)

    def mode(self) -> Tensor:
        middle, half = (self.high + self.low) / 2.0, (self.high - self.low) / 2.0
        return tf.clip_by_value(middle + half * tf.tanh(super().mode()), self.low, self.high)
