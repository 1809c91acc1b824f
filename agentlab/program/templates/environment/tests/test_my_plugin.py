"""The contract's tests, and steps worked out by hand."""

import tensorflow as tf

from agentlab import seeds
from agentlab.testing import DeviceEnvironmentTests, TaskTests
from my_plugin.environment import MyPlugin


class TestMyPlugin(DeviceEnvironmentTests):
    part = MyPlugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_both_ends_terminate_and_the_right_one_pays():
    environment = MyPlugin(length=3, slip=0.0)
    state, action = tf.constant([1, 1, 3, 2], tf.int64), tf.constant([0, 1, 1, 1], tf.int64)
    state, reward, terminated, _ = environment.transition(state, action, seeds.at(0, 1))
    assert state.numpy().tolist() == [0, 2, 4, 3]
    assert reward.numpy().tolist() == [0.0, 0.0, 1.0, 0.0]
    assert terminated.numpy().tolist() == [True, False, True, False]
    assert environment.observe(state).numpy()[1].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
