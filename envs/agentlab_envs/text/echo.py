"""Echo: the next observation is the last action, so an agent that acts in it continues its own sequence."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor


@attrs.frozen
class Echo(DeviceEnvironment):
    """Shows the last action; rewards nothing and never ends. Acting in it generates text.

    An action is one of `num_symbols` symbols, `[]` or `[1]`; the observation is a window of one symbol, `[1]`. The state is the
    observation. An episode begins with symbol 0; to begin with something else, take it as an action.

    Attributes:
        num_symbols: how many symbols there are.
        windowed: actions are windows of one symbol too, `[1]`, as of a model that answers at every position.
    """

    num_symbols: int = attrs.field(default=2, validator=attrs.validators.ge(1))
    windowed: bool = True

    @property
    def spec(self) -> EnvironmentSpec:
        symbols = Array((1,), "int64", 0, self.num_symbols - 1)
        return EnvironmentSpec("echo", symbols, Discrete(self.num_symbols, shape=(1,) if self.windowed else ()))

    def initial(self, seed: Seed, batch: int) -> Nest:
        return tf.zeros([batch, 1], tf.int64)

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        rows = state.shape[0]
        return tf.reshape(action, [rows, 1]), tf.zeros([rows]), tf.zeros([rows], tf.bool), ()

    def state_ranges(self) -> Nest:
        return Range(0, self.num_symbols - 1)

    def observe(self, state: Nest) -> Nest:
        return state
