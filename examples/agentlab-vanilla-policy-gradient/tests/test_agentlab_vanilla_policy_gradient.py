"""The contracts' tests, and targets, losses and values worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, seeds
from agentlab.distribution import Categorical
from agentlab.memory import Layout
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import TaskTests, TrainerTests
from agentlab.trainer import Setup
from agentlab.types import Batch, Step
from agentlab_memories.rollout import Rollout
from agentlab_models.mlp import MLP
from agentlab_vanilla_policy_gradient.actor_critic import ActorCritic, policy_loss, targets
from agentlab_vanilla_policy_gradient.tasks import actor_critic_cartpole, vanilla_policy_gradient_cartpole
from agentlab_vanilla_policy_gradient.vanilla import VanillaPolicyGradient

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestActorCritic(TrainerTests):
    part = ActorCritic
    among = actor_critic_cartpole


class TestVanillaPolicyGradient(TrainerTests):
    part = VanillaPolicyGradient
    among = vanilla_policy_gradient_cartpole
    learns = False  # 20,000 steps are five updates; that it learns is shown below


class TestActorCriticTask(TaskTests):
    name = "agentlab-vanilla-policy-gradient:actor-critic-cartpole"
    changes = {"execution": "graph"}  # a few turns take less time than compiling them with XLA


class TestVanillaPolicyGradientTask(TaskTests):
    name = "agentlab-vanilla-policy-gradient:vanilla-policy-gradient-cartpole"
    changes = {"execution": "graph"}


def rollout(reward, discount, ended):
    """Returns sequences `[B, T]` in which nothing is shown."""
    reward, discount, ended = tf.constant(reward), tf.constant(discount), tf.constant(ended)
    observation, action = tf.zeros([*reward.shape, 1]), tf.zeros(reward.shape, tf.int64)
    return Batch(observation, action, reward, discount, observation, ended, tf.ones_like(ended))


def test_targets_go_to_the_next_end_and_look_beyond_what_was_cut_off_only():
    """One row is terminated after its second step, the other truncated after its first; then the rollout ends."""
    batch = rollout(
        [[1.0, 1.0, 1.0], [4.0, 4.0, 4.0]],
        [[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]],
        [[False, True, False], [True, False, False]],
    )
    next_values = tf.constant([[100.0, 100.0, 8.0], [16.0, 100.0, 2.0]])
    expected = [[1 + 0.5 * 1, 1.0, 1 + 0.5 * 8], [4 + 0.5 * 16, 4 + 0.5 * 4 + 0.25 * 2, 4 + 0.5 * 2]]
    assert targets(batch, next_values, 0.5).numpy().tolist() == expected


def test_with_one_step_a_target_is_the_reward_and_the_value_of_what_follows():
    batch = rollout([[1.0], [1.0]], [[1.0], [0.0]], [[False], [True]])
    assert targets(batch, tf.constant([[8.0], [8.0]]), 0.5).numpy().tolist() == [[1 + 0.5 * 8], [1.0]]


def test_what_was_better_than_expected_becomes_more_likely():
    even = Categorical(num_values=2).of(tf.zeros([2, 2]))
    loss, entropy = policy_loss(even, tf.constant([0, 1]), tf.constant([1.0, -3.0]))
    np.testing.assert_allclose(loss, [math.log(2), -3 * math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(entropy, [math.log(2)] * 2, rtol=1e-6)


@pytest.mark.parametrize("action", [Discrete(2), Array((3,))], ids=str)
def test_an_update_moves_the_policy_and_the_critic(action):
    spec = EnvironmentSpec("example", Array((1,)), action)
    trainer, memory = ActorCritic(rollout_steps=4), Rollout()
    models = {
        name: [build_model(MLP((8,)), network.input_spec(spec), network.num_outputs, index)]
        for index, (name, network) in enumerate(trainer.networks(spec).items())
    }
    trainer.build(Setup(spec, models, num_environments=2))
    memory.build(Layout(spec, 2, trainer.request(spec), trainer.update_schedule(spec, 2)))
    for turn in range(4):
        observation, going = tf.fill([2, 1], float(turn)), tf.constant([False, False])
        taken = tf.zeros([2, *action.shape], action.dtype)
        reward = tf.constant([1.0, -1.0])
        memory.add(
            Step(observation, taken, reward, tf.ones([2]), observation + 1.0, going, ~going), tf.range(2, dtype=tf.int64)
        )
    before = {name: trainer.trained[name].models[0].get_weights() for name in models}
    update = trainer.update(memory, seeds.at(0, 0))
    assert tuple(sorted(update.metrics)) == tuple(sorted(trainer.metric_names))
    assert all(np.isfinite(value) for value in update.metrics.values())
    for name, weights in before.items():
        pairs = zip(weights, trainer.trained[name].models[0].get_weights(), strict=True)
        assert any(np.any(old != new) for old, new in pairs), name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"memory": {"name": "replay"}}, "learns from everything since its last update"),
        ({"trainer": {"update_period": 2_048}}, "VanillaPolicyGradient learns from every 128 steps of each environment"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_training(tmp_path, changes, sentence):
    with pytest.raises(AgentlabError, match=sentence):
        agentlab.run(vanilla_policy_gradient_cartpole, changes=changes, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", [actor_critic_cartpole, vanilla_policy_gradient_cartpole], ids=lambda task: task.name)
def test_cartpole_is_balanced(tmp_path, task):
    run = agentlab.run(task, seed=0, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] > 400.0  # of 500; at random it is 22
