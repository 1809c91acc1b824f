"""The contracts' tests, results worked out by hand, and that the algorithm learns."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, Step, seeds
from agentlab.memory import Layout, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import MemoryTests, ModelTests, TaskTests, TrainerTests
from agentlab.trainer import Setup
from my_plugin.memory import MyPluginMemory
from my_plugin.model import MyPluginModel
from my_plugin.tasks import my_plugin
from my_plugin.trainer import MyPlugin

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestTrainer(TrainerTests):
    part = MyPlugin
    among = my_plugin


class TestMemory(MemoryTests):
    part = MyPluginMemory


class TestModel(ModelTests):
    part = MyPluginModel
    among = my_plugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def filled_memory(trainer):
    """Returns a memory of two steps of one environment: action 0 earns 1, then action 1 earns 0 and ends the task."""
    memory = MyPluginMemory()
    memory.build(Layout(SPEC, 1, trainer.request(SPEC), output=tf.TensorSpec([3])))
    for action, discount in ((0, 1.0), (1, 0.0)):
        observation, is_last = tf.zeros([1, 1]), tf.constant([discount == 0.0])
        step = Step(
            observation, tf.constant([action], tf.int64), tf.constant([discount]), tf.constant([discount]), observation,
            ended=is_last, acted=tf.constant([True]), output=tf.zeros([1, 3]),
        )  # fmt: skip
        memory.add(step, row=tf.constant([0], tf.int64))
    return memory


def test_the_memory_hands_out_steps_in_order():
    batch = filled_memory(MyPlugin(rollout_steps=2)).sample(seeds.at(0, 0))
    assert batch.action.numpy().tolist() == [[0, 1]]
    assert batch.reward.numpy().tolist() == [[1.0, 0.0]]


def test_a_request_for_random_draws_is_refused():
    with pytest.raises(AgentlabError, match="the trainer asks for random draws"):
        MyPluginMemory().build(Layout(SPEC, 1, Request()))


def test_an_update_raises_the_probability_of_the_better_action():
    """With values of 0 the advantages are the rewards, 1 and 0: action 0 becomes more likely."""
    trainer = MyPlugin(rollout_steps=2, entropy_weight=0.0, optimizer="sgd", learning_rate=1.0, max_gradient_norm=None)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, kernel_initializer="zeros")])
    trainer.build(Setup(SPEC, {"policy": [model]}))
    update = trainer.update(filled_memory(trainer), seeds.at(0, 0))

    # Gradients of means over two steps: (-1/2, 1/2) and 0 for the logits, -1 and 0 for the value.
    np.testing.assert_allclose(model.layers[-1].bias.numpy(), [0.25, -0.25, 0.5], rtol=1e-6)
    np.testing.assert_allclose(update.metrics["entropy"], np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(update.metrics["value_error"], 0.5, rtol=1e-6)


def test_a_model_without_an_output_for_the_policy_is_refused():
    with pytest.raises(AgentlabError, match="expected at least 2, got 1"):
        MyPluginModel().build(SPEC, num_outputs=1)


def test_it_learns(tmp_path):
    run = agentlab.run(attrs.evolve(my_plugin, steps=24_000), seed=0, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] > 15.0  # of 16
