"""The contract's tests, and batches that can be told beforehand."""

import pytest
import tensorflow as tf

from agentlab import Transition, errors, seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import MemoryTests, TaskTests
from agentlab.types import Horizon
from my_plugin.memory import MyPlugin

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestMyPlugin(MemoryTests):
    part = MyPlugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def add(memory, *rewards):
    """Adds transitions of one environment, told apart by their rewards."""
    count, shown = len(rewards), tf.zeros([len(rewards), 1])
    batch = Transition(shown, tf.zeros([count], tf.int64), tf.constant(rewards), tf.ones([count]), shown)
    memory.add(batch, ended=tf.zeros([count], tf.bool), row=tf.zeros([count], tf.int64))


def test_the_last_ones_are_handed_out():
    memory = MyPlugin(size=3)
    memory.build(SPEC, 1, Horizon())
    add(memory, 1.0, 2.0)
    assert memory.sample(seeds.at(0, 0)).reward.numpy().tolist() == [1.0, 2.0, 1.0]
    add(memory, 3.0, 4.0)
    assert sorted(memory.sample(seeds.at(0, 0)).reward.numpy().tolist()) == [2.0, 3.0, 4.0]


def test_several_steps_are_refused():
    with pytest.raises(errors.UsageError, match="single steps"):
        MyPlugin().build(SPEC, 1, Horizon(3))
