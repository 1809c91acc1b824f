"""An environment whose values are known by hand."""

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec


@attrs.frozen
class Steps(DeviceEnvironment):
    """Two states, shown one-hot. Action 0 leads to state 0, action 1 to state 1; acting in state 1 earns 1, in state 0 nothing.

    Episodes start in either state. With g = 0.5, going to state 1 and staying there is best, so

        nothing ends the task        V(1) = 1 + g V(1) = 2, V(0) = g V(1) = 1; Q(s, a) = [s = 1] + g V(a)
        every action terminates      V(s) = Q(s, a) = [s = 1]

    Attributes:
        terminates: whether every action ends the task.
        limit: steps before an episode is truncated.
    """

    terminates: bool = False
    limit: int | None = None

    @property
    def spec(self):
        return EnvironmentSpec("steps", Array((2,)), Discrete(2), self.limit)

    def initial(self, seed, batch):
        return seeds.integers(seed, [batch], 2)

    def transition(self, state, action, seed):
        return action, tf.cast(state, tf.float32), tf.fill(tf.shape(state), self.terminates), ()

    def observe(self, state):
        return tf.one_hot(state, 2)
