"""Recall: a test of memory, whose best return is known with memory and without."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor


@attrs.frozen
class Recall(DeviceEnvironment):
    """Shows a symbol once, at the first step; `delay` steps later the action that names it earns 1 and any other 0.

    The observation is `[num_symbols + 1]`: the symbol one-hot at the first step, zeros from then on, and in the last element
    whether the symbol is asked for. Earlier actions earn nothing. The episode ends with the answer, after `delay + 1` steps.

    The mean return is the share of right answers: 1 at best, and `1 / num_symbols` without memory.

    Attributes:
        num_symbols: how many symbols, and actions.
        delay: T, steps from the symbol to the question.

    Source: after the memory length experiment of bsuite (Osband et al. 2020, arXiv:1908.03568).
    """

    num_symbols: int = attrs.field(default=4, validator=attrs.validators.ge(2))
    delay: int = attrs.field(default=50, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        return EnvironmentSpec(
            "recall", Array((self.num_symbols + 1,), minimum=0.0, maximum=1.0), Discrete(self.num_symbols), self.delay + 1
        )

    def initial(self, seed: Seed, batch: int) -> Nest:
        symbol = seeds.integers(seed, [batch], self.num_symbols)
        return symbol, tf.zeros([batch], tf.int64)

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        symbol, step = state  # [B] int64 each
        is_asked = tf.equal(step, self.delay)
        reward = tf.cast(is_asked & tf.equal(action, symbol), tf.float32)
        return (symbol, tf.minimum(step + 1, self.delay)), reward, is_asked, ()

    def state_ranges(self) -> Nest:
        return Range(0, self.num_symbols - 1), Range(0, self.delay)

    def observe(self, state: Nest) -> Tensor:
        symbol, step = state
        symbols = tf.where(tf.equal(step, 0)[:, None], tf.one_hot(symbol, self.num_symbols), 0.0)
        asked = tf.cast(tf.equal(step, self.delay), tf.float32)
        return tf.concat([symbols, asked[:, None]], axis=1)
