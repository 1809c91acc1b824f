"""Identity: a toy problem whose optimal policy is known."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor


@attrs.frozen
class Identity(DeviceEnvironment):
    """Shows a symbol, one-hot; the action that names it earns 1, any other 0; then another symbol is drawn.

    The best return of an episode is `episode_steps`; a random policy's mean is `episode_steps / num_symbols`. Episodes end by
    truncation, so the value of naming every symbol right, discounted by d, is 1 / (1 - d) in every state.

    Attributes:
        num_symbols: how many symbols, and actions.
        episode_steps: steps before an episode is truncated.
    """

    num_symbols: int = attrs.field(default=4, validator=attrs.validators.ge(2))
    episode_steps: int = attrs.field(default=16, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        symbols = Array((self.num_symbols,), minimum=0.0, maximum=1.0)
        return EnvironmentSpec("identity", symbols, Discrete(self.num_symbols), self.episode_steps, Discrete(self.num_symbols))

    def initial(self, seed: Seed, batch: int) -> Nest:
        return seeds.integers(seed, [batch], self.num_symbols)

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        reward = tf.cast(tf.equal(action, state), tf.float32)
        following = self.initial(seeds.child(seed, "symbol"), state.shape[0])
        return following, reward, tf.zeros_like(state, tf.bool), state

    def state_ranges(self) -> Nest:
        return Range(0, self.num_symbols - 1)

    def observe(self, state: Nest) -> Nest:
        return tf.one_hot(state, self.num_symbols)
