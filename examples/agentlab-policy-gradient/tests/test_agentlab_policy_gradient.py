"""The contracts' tests, and returns, losses and values worked out by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, Transition, seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing import MemoryTests, TaskTests, TrainerTests
from agentlab.types import Horizon
from agentlab_policy_gradient.actor_critic import ActorCritic, policy_loss
from agentlab_policy_gradient.reinforce import Reinforce
from agentlab_policy_gradient.rollout import Rollout, returns
from agentlab_policy_gradient.tasks import actor_critic_cartpole, reinforce_cartpole

SPEC = EnvironmentSpec("example", Array((1,)), Discrete(2))


class TestActorCritic(TrainerTests):
    part = ActorCritic
    among = actor_critic_cartpole


class TestReinforce(TrainerTests):
    part = Reinforce
    among = reinforce_cartpole
    learns = False  # 20,000 steps are five updates; that it learns is shown below


class TestRollout(MemoryTests):
    part = Rollout


class TestActorCriticTask(TaskTests):
    name = "agentlab-policy-gradient:actor-critic-cartpole"


class TestReinforceTask(TaskTests):
    name = "agentlab-policy-gradient:reinforce-cartpole"


def test_returns_go_to_the_next_end():
    reward = tf.constant([[1.0], [2.0], [4.0], [8.0], [16.0]])
    ends = tf.constant([[False], [True], [False], [False], [True]])
    sums, end = returns(reward, ends, 0.5)
    assert sums.numpy().ravel().tolist() == [1 + 0.5 * 2, 2.0, 4 + 0.5 * 8 + 0.25 * 16, 8 + 0.5 * 16, 16.0]
    assert end.numpy().ravel().tolist() == [1, 1, 4, 4, 4]


def test_a_rollout_knows_where_episodes_ended():
    """Two rows: one terminates after its second turn, the other is cut off after its first and begins elsewhere."""
    memory = Rollout(turns=3)
    memory.build(SPEC, 2, Horizon(1, 0.5))
    shown = [[0.0, 10.0], [1.0, 50.0], [5.0, 51.0]]
    led_to = [[1.0, 11.0], [2.0, 51.0], [6.0, 52.0]]
    discount = [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    ended = [[False, True], [True, False], [False, False]]
    for turn in range(3):
        observation, following = (tf.constant(rows[turn])[:, None] for rows in (shown, led_to))
        action = tf.zeros([2], tf.int64)
        transition = Transition(observation, action, tf.constant([1.0, 4.0]), tf.constant(discount[turn]), following)
        memory.add(transition, tf.constant(ended[turn]), tf.range(2, dtype=tf.int64))
    batch = memory.sample(seeds.at(0, 0))
    assert batch.observation.numpy().ravel().tolist() == [0.0, 10.0, 1.0, 50.0, 5.0, 51.0]
    assert batch.reward.numpy().tolist() == [1.5, 4.0, 1.0, 6.0, 1.0, 4.0]
    assert batch.discount.numpy().tolist() == [0.0, 1.0, 0.0, 0.5, 1.0, 1.0]
    assert batch.next_observation.numpy().ravel().tolist() == [2.0, 11.0, 2.0, 52.0, 6.0, 52.0]


def test_what_was_better_than_expected_becomes_more_likely():
    loss, entropy = policy_loss(tf.zeros([2, 2]), tf.constant([0, 1]), tf.constant([1.0, -3.0]))
    np.testing.assert_allclose(loss, [math.log(2), -3 * math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(entropy, [math.log(2)] * 2, rtol=1e-6)


def test_the_target_of_a_value_looks_beyond_what_was_cut_off_only():
    trainer = ActorCritic(discount=0.5)
    trainer.build(keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)]), SPEC)
    trainer.critic.layers[-1].bias.assign([8.0])  # the value of everything, as the last weights are 0
    shown = tf.zeros([2, 1])
    batch = Transition(shown, tf.constant([0, 1]), tf.constant([1.0, 1.0]), tf.constant([1.0, 0.0]), shown)
    assert trainer.targets(batch).numpy().tolist() == [1 + 0.5 * 8, 1.0]


@pytest.mark.parametrize("trainer", [ActorCritic, Reinforce])
def test_arrays_as_actions_are_refused(trainer):
    with pytest.raises(AgentlabError, match="needs one choice per step"):
        trainer().num_outputs(EnvironmentSpec("arm", Array((3,)), Array((2,))))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"memory": {"turns": 64}}, "what happened in 2,048 steps, with 32 environments; the trainer updates every 4,096. Set"),
        ({"trainer": {"update_period": 2_048}}, "what happened in 4,096 steps, .* Set trainer.update_period=4096"),
        ({"num_environments": 16}, "what happened in 2,048 steps, with 16 environments; the trainer updates every 4,096"),
        ({"memory": {"name": "replay"}}, "Reinforce learns from what the present policy does; UniformReplay hands out"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_training(tmp_path, changes, sentence):
    with pytest.raises(AgentlabError, match=sentence):
        agentlab.run(reinforce_cartpole, changes=changes, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", [actor_critic_cartpole, reinforce_cartpole], ids=lambda task: task.name)
def test_cartpole_is_balanced(tmp_path, task):
    run = agentlab.run(task, seed=0, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] > 400.0  # of 500; at random it is 22
