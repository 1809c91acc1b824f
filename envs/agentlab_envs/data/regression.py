"""Regression: inputs and the answers to them as an environment; the reward is minus the squared error."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, EnvironmentSpec
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.data.stream import Stream


@attrs.define(slots=False, eq=False)
class Regression(DeviceEnvironment):
    """Shows inputs one after another; an episode is one step: the reward is minus the mean squared error of the action.

    The mean return is minus the mean squared error over the data.

    Attributes:
        inputs: `[N, ...]` numbers; a list of lists in a task or file.
        targets: `[N, ..., K]` numbers, the right answers.
        shuffle: each epoch shows all samples once, in an order of its own; else in the order of the data.
        replacement: instead, each step draws any sample.
    """

    inputs: Any
    targets: Any
    shuffle: bool = True
    replacement: bool = False

    def __attrs_post_init__(self) -> None:
        inputs, targets = _numbers("inputs", self.inputs), _numbers("targets", self.targets)
        if len(inputs) != len(targets):
            raise errors.UsageError(
                f"Setting 'inputs' has {len(inputs)} samples, 'targets' {len(targets)}; expected equally many."
            )
        self._inputs, self._targets = tf.constant(inputs), tf.constant(targets)
        self._stream = Stream("regression", len(inputs), self.shuffle, self.replacement)

    @property
    def spec(self) -> EnvironmentSpec:
        answer = Array(tuple(self._targets.shape[1:]))
        num_episodes = None if self.replacement else self._stream.size
        return EnvironmentSpec(
            "regression", Array(tuple(self._inputs.shape[1:])), answer, target=answer, num_episodes=num_episodes
        )

    def initial(self, seed: Seed, batch: int) -> Nest:
        return self._stream.start(seed, batch)

    def restart(self, state: Nest, seed: Seed) -> Nest:
        return self._stream.following(state, seed)

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        target = tf.gather(self._targets, state.sample)
        error = tf.reduce_mean(tf.square(action - target), axis=list(range(1, len(target.shape))))
        return state, -error, tf.ones_like(error, tf.bool), target

    def state_ranges(self) -> Nest:
        return self._stream.ranges()

    def observe(self, state: Nest) -> Nest:
        return tf.gather(self._inputs, state.sample)


def _numbers(name: str, values: object) -> np.ndarray:
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise errors.UsageError(f"Setting {name!r} is not an array of numbers: {error}. Give rows of equal length.") from error
    if array.ndim < 2 or array.size == 0 or not np.isfinite(array).all():
        raise errors.UsageError(
            f"Setting {name!r} has shape {array.shape}"
            f"{'' if np.isfinite(array).all() else ' and values that are not finite'}; expected finite numbers, [samples, ...]."
        )
    return array
