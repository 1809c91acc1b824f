"""A corridor, as pure TensorFlow functions: whole training loops in it compile into one program."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec


@attrs.frozen
class MyPlugin(DeviceEnvironment):
    """A corridor on slippery ground: its right end pays 1, its left end nothing; both end the episode.

    The observation is the place, one-hot, `[length + 2]`. Action 0 is a step to the left, 1 a step to the right. An episode
    begins at any place between the ends.

    Attributes:
        length: places between the two ends.
        slip: the probability that a step goes the other way, 0 to 1.
        max_episode_steps: an episode that is still running after so many steps is truncated.
    """

    length: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    slip: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    max_episode_steps: int = attrs.field(default=50, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        places = Array((self.length + 2,), minimum=0.0, maximum=1.0)
        return EnvironmentSpec("my-plugin", places, Discrete(2), self.max_episode_steps)

    def initial(self, seed: Any, batch: int) -> Any:
        return 1 + seeds.integers(seed, [batch], self.length)  # the state is the place, [B] int64

    def transition(self, state: Any, action: Any, seed: Any) -> tuple[Any, Any, Any, Any]:
        slipped = seeds.uniform(seed, state.shape) < self.slip
        right = tf.not_equal(tf.equal(action, 1), slipped)
        state = state + tf.where(right, tf.ones_like(state), -tf.ones_like(state))
        arrived = tf.equal(state, self.length + 1)
        return state, tf.cast(arrived, tf.float32), arrived | tf.equal(state, 0), ()

    def observe(self, state: Any) -> Any:
        return tf.one_hot(state, self.length + 2)
