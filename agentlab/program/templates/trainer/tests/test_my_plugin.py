"""The contract's tests, and losses worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from agentlab import AgentlabError, Transition, seeds
from agentlab.spec import Array, EnvironmentSpec
from agentlab.testing import TaskTests, TrainerTests
from my_plugin.tasks import my_plugin
from my_plugin.trainer import MyPlugin


class TestMyPlugin(TrainerTests):
    part = MyPlugin
    among = my_plugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_what_is_better_than_the_mean_becomes_more_likely():
    shown, nothing = tf.zeros([2, 1]), tf.zeros([2])
    batch = Transition(shown, tf.constant([0, 1]), tf.constant([3.0, 1.0]), nothing, shown)
    loss, metrics = MyPlugin(entropy_weight=0.0).loss(tf.zeros([2, 2]), batch, seeds.at(0, 0))
    np.testing.assert_allclose(loss, [math.log(2), -math.log(2)], rtol=1e-6)  # advantages 1 and -1, log(1 / 2) each
    np.testing.assert_allclose(metrics["entropy"], math.log(2), rtol=1e-6)


def test_arrays_as_actions_are_refused():
    with pytest.raises(AgentlabError, match="needs one choice per step"):
        MyPlugin().num_outputs(EnvironmentSpec("arm", Array((3,)), Array((2,))))
