"""A sampler that explores: epsilon-greedy."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.sampler import Sampler, best_unless
from agentlab.schedules import Linear, Schedule, as_schedule, values_of


@attrs.frozen
class EpsilonGreedy(Sampler):
    """Takes a uniformly random action with probability epsilon, else the one with the largest output.

    Attributes:
        epsilon: 0 to 1; a schedule counts environment steps.
    """

    epsilon: float | Schedule = attrs.field(factory=lambda: Linear(1.0, 0.05, 10_000))

    def __attrs_post_init__(self) -> None:
        if any(not 0.0 <= value <= 1.0 for value in values_of(self.epsilon)):
            raise ValueError(f"'epsilon' must be a probability, 0 to 1: {self.epsilon}")

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        return best_unless(self.explore(tf.shape(output)[:-1], output.shape[-1], step, seed), output)

    def explore(self, choices: Any, num_actions: int, step: Any, seed: Any) -> Any:
        chance = seeds.uniform(seed, choices)
        anything = seeds.integers(seeds.child(seed, "action"), choices, num_actions)
        return tf.where(chance < as_schedule(self.epsilon)(step), anything, tf.constant(-1, tf.int64))
