"""Samplers that explore by noise of their own, in actions that are numbers within bounds."""

from __future__ import annotations

import math

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.distribution import Distribution
from agentlab.sampler import Sampler, random_at_first
from agentlab.schedules import Schedule, as_schedule, values_of
from agentlab.types import Nest, Seed, Tensor


@attrs.frozen
class NormalNoise(Sampler):
    """Adds normal noise to the mode, independent at every step and element, and stays within the bounds.

    Attributes:
        deviation: standard deviation, as a share of half the width of each element's bounds, 0 or greater; a schedule counts
            environment steps.
        random_steps: environment steps at first in which actions are uniformly random.
    """

    deviation: float | Schedule = 0.1
    random_steps: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if any(not 0.0 <= value < math.inf for value in values_of(self.deviation)):
            raise ValueError(f"'deviation' must be 0 or greater and finite: {self.deviation}")

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        mode = distribution.mode()
        noise = as_schedule(self.deviation)(step) * seeds.normal(seed, tf.shape(mode))
        return random_at_first(self.random_steps, distribution, within_bounds(distribution, mode, noise), step, seed)


def within_bounds(distribution: Distribution, action: Tensor, noise: Tensor) -> Tensor:
    """Returns actions `[B, *A]` with `noise` `[B, *A]` added, in units of half the width of the bounds, and clipped to them."""
    low, high = distribution.bounds
    return tf.clip_by_value(action + noise * ((high - low) / 2.0), low, high)
