"""The contract's tests, and draws that are known in advance."""

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.distribution import ActionValues
from agentlab.testing import SamplerTests, TaskTests
from my_plugin.sampler import MyPlugin


class TestMyPlugin(SamplerTests):
    part = MyPlugin


class TestMyPluginAmongAll(SamplerTests):
    part = MyPlugin
    settings = {"k": 100}


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_only_the_k_best_are_drawn_and_all_of_them():
    values = ActionValues(num_values=4).of(tf.tile([[0.0, 3.0, 1.0, 2.0]], [1_000, 1]))
    drawn = MyPlugin(k=2).sample(values, tf.constant(0, tf.int64), seeds.at(0, 0)).numpy()
    assert set(drawn.tolist()) == {1, 3}
    assert abs((drawn == 1).mean() - 0.5) < 0.08  # five standard deviations
    best = MyPlugin(k=1).sample(values, tf.constant(0, tf.int64), seeds.at(0, 0))
    np.testing.assert_array_equal(best, np.ones(1_000))
