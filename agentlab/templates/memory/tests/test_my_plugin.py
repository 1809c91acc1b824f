"""The contract's tests, and batches that can be told beforehand."""

import tensorflow as tf

from agentlab import Transition, seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import MemoryTests, TaskTests
from my_plugin.memory import MyPlugin

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestMyPlugin(MemoryTests):
    part = MyPlugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def transitions(*rewards):
    shown = tf.zeros([len(rewards), 1])
    return Transition(shown, tf.zeros([len(rewards)], tf.int64), tf.constant(rewards), tf.ones([len(rewards)]), shown)


def test_the_last_ones_are_handed_out():
    memory = MyPlugin(size=3)
    memory.build(SPEC)
    memory.add(transitions(1.0, 2.0))
    assert memory.sample(seeds.at(0, 0)).reward.numpy().tolist() == [1.0, 2.0, 1.0]
    memory.add(transitions(3.0, 4.0))
    assert sorted(memory.sample(seeds.at(0, 0)).reward.numpy().tolist()) == [2.0, 3.0, 4.0]
