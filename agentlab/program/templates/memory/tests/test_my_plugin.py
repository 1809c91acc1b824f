"""The contract's tests, and batches that are known in advance."""

import pytest
import tensorflow as tf

from agentlab import AgentlabError, Step, seeds
from agentlab.memory import Layout, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import MemoryTests, TaskTests
from my_plugin.memory import MyPlugin

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestMyPlugin(MemoryTests):
    part = MyPlugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def add(memory, *rewards):
    """Adds steps of one environment, distinguished by their rewards."""
    count, observation = len(rewards), tf.zeros([len(rewards), 1])
    action, going_on = tf.zeros([count], tf.int64), tf.zeros([count], tf.bool)
    memory.add(Step(observation, action, tf.constant(rewards), tf.ones([count]), observation, going_on, ~going_on), row=action)


def test_the_last_ones_are_handed_out():
    memory = MyPlugin(size=3)
    memory.build(Layout(SPEC, 1))
    add(memory, 1.0, 2.0)
    assert memory.sample(seeds.at(0, 0)).reward.numpy().tolist() == [1.0, 2.0, 1.0]
    add(memory, 3.0, 4.0)
    assert sorted(memory.sample(seeds.at(0, 0)).reward.numpy().tolist()) == [2.0, 3.0, 4.0]


def test_several_steps_are_refused():
    with pytest.raises(AgentlabError, match="single steps"):
        MyPlugin().build(Layout(SPEC, 1, Request(3)))
