"""Samplers that explore: epsilon-greedy and Boltzmann."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.sampler import Sampler
from agentlab.schedules import Linear, Schedule, as_schedule


@attrs.frozen
class EpsilonGreedy(Sampler):
    """Takes a uniformly random action with probability epsilon, else the one with the largest output.

    Attributes:
        epsilon: 0 to 1; a schedule counts environment steps.
    """

    epsilon: float | Schedule = attrs.field(factory=lambda: Linear(1.0, 0.05, 10_000))

    def __attrs_post_init__(self) -> None:
        values = [self.epsilon] if not isinstance(self.epsilon, Schedule) else vars_of(self.epsilon)
        if any(not 0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"'epsilon' must be a probability, 0 to 1: {self.epsilon}")

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        rows, num_actions = tf.shape(output)[0], output.shape[-1]
        chance = seeds.uniform(seed, [rows])
        anything = seeds.integers(seeds.child(seed, "action"), [rows], num_actions)
        return tf.where(chance < as_schedule(self.epsilon)(step), anything, tf.argmax(output, axis=-1))


@attrs.frozen
class Boltzmann(Sampler):
    """Takes an action with probability proportional to `exp(output / temperature)`.

    Attributes:
        temperature: greater than 0, in units of the output; a schedule counts environment steps.
    """

    temperature: float | Schedule = 1.0

    def __attrs_post_init__(self) -> None:
        values = [self.temperature] if not isinstance(self.temperature, Schedule) else vars_of(self.temperature)
        if any(not value > 0.0 for value in values):  # nan included
            raise ValueError(f"'temperature' must be greater than 0: {self.temperature}")

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        # Gumbel-max: the argmax of logits plus Gumbel noise is a draw from their softmax.
        uniform = tf.maximum(seeds.uniform(seed, tf.shape(output)), 2.0**-25)  # never log(0)
        noise = -tf.math.log(-tf.math.log(uniform))
        return tf.argmax(output / as_schedule(self.temperature)(step) + noise, axis=-1)


def vars_of(schedule: Schedule) -> list[float]:
    """Returns the values at which a schedule begins and ends."""
    fields = attrs.asdict(schedule)  # type: ignore[arg-type]
    return [value for name, value in fields.items() if name != "steps"]
