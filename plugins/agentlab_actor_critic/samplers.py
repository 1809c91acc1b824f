"""Samplers that explore by noise of their own, in actions that are numbers within bounds."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.distribution import Distribution
from agentlab.fields import scheduled
from agentlab.sampler import Sampler, random_at_first
from agentlab.schedules import Schedule, as_schedule
from agentlab.types import Nest, Seed, Tensor


@attrs.frozen
class NormalNoise(Sampler):
    """Adds normal noise to the mode, independent at every step and element, and stays within the bounds.

    Attributes:
        deviation: standard deviation, as a share of half the width of each element's bounds, 0 or greater; a schedule counts
            environment steps.
        random_steps: environment steps at first in which actions are uniformly random.
    """

    deviation: float | Schedule = scheduled(0.1)
    random_steps: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        mode = distribution.mode()
        noise = as_schedule(self.deviation)(step) * seeds.normal(seed, tf.shape(mode))
        return random_at_first(self.random_steps, distribution, within_bounds(distribution, mode, noise), step, seed)


@attrs.frozen
class OrnsteinUhlenbeckNoise(Sampler):
    """Adds noise that goes on from step to step: an Ornstein-Uhlenbeck process (Lillicrap et al. 2016, arXiv:1509.02971).

    `noise <- (1 - reversion) * noise + deviation * n`, with n standard normal; it is 0 before an episode's first step. After
    many steps its standard deviation is `deviation / sqrt(1 - (1 - reversion)**2)`. Actions stay within the bounds.

    Attributes:
        deviation: of what is added at every step, as a share of half the width of each element's bounds, 0 or greater; a
            schedule counts environment steps.
        reversion: share of the noise that is lost at every step, greater than 0 and at most 1; with 1 it is normal noise.
        random_steps: environment steps at first in which actions are uniformly random.
    """

    deviation: float | Schedule = scheduled(0.2)
    reversion: float = attrs.field(default=0.15, validator=[attrs.validators.gt(0), attrs.validators.le(1)])
    random_steps: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def initial_state(self, distribution: Distribution, rows: int) -> Tensor:
        return tf.zeros([rows, *distribution.bounds[0].shape])

    def sample_with_state(self, distribution: Distribution, state: Nest, step: Tensor, seed: Seed) -> tuple[Nest, Nest]:
        mode = distribution.mode()
        added = as_schedule(self.deviation)(step) * seeds.normal(seed, tf.shape(mode))
        noise = (1.0 - self.reversion) * state + added
        action = within_bounds(distribution, mode, noise)
        return random_at_first(self.random_steps, distribution, action, step, seed), noise

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        start = self.initial_state(distribution, tf.shape(distribution.output)[0])
        return self.sample_with_state(distribution, start, step, seed)[0]


def within_bounds(distribution: Distribution, action: Tensor, noise: Tensor) -> Tensor:
    """Returns actions `[B, *A]` with `noise` `[B, *A]` added, in units of half the width of the bounds, and clipped to them."""
    low, high = distribution.bounds
    return tf.clip_by_value(action + noise * ((high - low) / 2.0), low, high)
