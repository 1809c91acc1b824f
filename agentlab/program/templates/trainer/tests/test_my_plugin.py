"""The contract's tests, and losses worked out by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, Batch, seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import TaskTests, TrainerTests
from agentlab.trainer import Setup
from my_plugin.tasks import my_plugin
from my_plugin.trainer import MyPlugin


class TestMyPlugin(TrainerTests):
    part = MyPlugin
    among = my_plugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_what_is_better_than_the_mean_becomes_more_likely():
    trainer = MyPlugin(entropy_weight=0.0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    trainer.build(Setup(EnvironmentSpec("example", Array((1,)), Discrete(2)), {"policy": [model]}))
    observation, no, yes = tf.zeros([2, 1]), tf.zeros([2], tf.bool), tf.ones([2], tf.bool)
    batch = Batch(observation, tf.constant([0, 1]), tf.constant([3.0, 1.0]), tf.ones([2]), observation, ended=no, acted=yes)
    loss = trainer.loss(tf.zeros([2, 2]), batch, seeds.at(0, 0))
    np.testing.assert_allclose(loss.value, [math.log(2), -math.log(2)], rtol=1e-6)  # advantages 1 and -1, log(1 / 2) each
    np.testing.assert_allclose(loss.metrics["entropy"], math.log(2), rtol=1e-6)


def test_a_replay_is_refused_before_training(tmp_path):
    with pytest.raises(AgentlabError, match="learns from everything since its last update"):
        agentlab.run(my_plugin, changes={"memory": {"name": "replay"}}, run_dir=tmp_path / "run")
