"""The Sampler contract: an action is one independent draw per row from a model's output."""

from __future__ import annotations

import abc
from typing import Any

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.spec import EnvironmentSpec


class Sampler(abc.ABC):
    """Draws actions from outputs; exploring, evaluating and generating text differ in the sampler only."""

    @abc.abstractmethod
    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        """Returns one action per row.

        Args:
            output: `[B, ..., K]` float32, the model's output: values or logits, one per choice, or numbers to act by.
            step: int64 scalar, environment steps taken so far, for schedules.
            seed: `[2]` int64 for `agentlab.seeds.uniform` and `integers`.

        Returns:
            `[B, ...]` int64, each in 0 to K - 1; or `[B, ..., K]` float32 where actions are arrays of numbers.
        """


@attrs.frozen
class Greedy(Sampler):
    """Takes the action with the largest output; of equal ones the first."""

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        return tf.argmax(output, axis=-1)


@attrs.frozen
class Direct(Sampler):
    """Takes the output itself as the action, where actions are arrays of numbers."""

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        return output


def check_actions(sampler: Sampler, spec: EnvironmentSpec, num_outputs: int) -> None:
    """Draws one action from a blank output.

    Raises:
        UsageError: it is not of the shape that the environment takes.
    """
    output = tf.zeros([1, *spec.action.choices, num_outputs])
    action = sampler.sample(output, tf.constant(0, tf.int64), seeds.at(0, 0))
    got, expected = tuple(action.shape[1:]), spec.action.shape
    if got != expected:
        raise errors.UsageError(
            f"Sampler {type(sampler).__name__} draws actions of shape {got}; environment {spec.name!r} takes a {spec.action}. "
            "Choose sampler 'direct' where actions are arrays of numbers, and 'greedy' or another where they are choices, "
            "in training (sampler.name) and evaluation (evaluation.sampler.name)."
        )
