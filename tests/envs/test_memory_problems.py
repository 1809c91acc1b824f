"""Environments that need a memory: hidden velocities against the whole environment from the same state, and recall by hand."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.loop.autoreset import Autoreset
from agentlab.spec import Array, Discrete
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.control.hidden import CartPoleNoVelocity, PendulumNoVelocity
from agentlab_envs.control.pendulum import Pendulum
from agentlab_envs.control.recall import Recall

SEED = seeds.at(seeds.stream(0, "test"), 0)
PAIRS = {
    "cartpole": (CartPoleNoVelocity(), CartPole(), [0, 2], [1, 3], tf.constant([0, 1, 1], tf.int64)),
    "pendulum": (PendulumNoVelocity(), Pendulum(), [0, 1], [1], tf.constant([[-3.0], [0.5], [2.0]])),
}
pairs = pytest.mark.parametrize("pair", PAIRS)


def some_state(whole):
    """Three states that no episode begins in."""
    return whole.initial(SEED, 3) + tf.constant([[0.3], [-0.1], [0.02]], tf.float64)


@pairs
def test_from_the_same_state_everything_but_the_observation_is_the_same(pair):
    hidden, whole, visible, _, action = PAIRS[pair]
    state = some_state(whole)
    for _ in range(3):
        (after, *others), (expected, *expected_others) = (
            environment.transition(state, action, SEED) for environment in (hidden, whole)
        )
        np.testing.assert_array_equal(after, expected)
        for mine, its in zip(others, expected_others, strict=True):
            np.testing.assert_array_equal(mine, its)
        np.testing.assert_array_equal(hidden.observe(after), whole.observe(expected).numpy()[:, visible])
        state = after
    np.testing.assert_array_equal(hidden.initial(SEED, 3), whole.initial(SEED, 3))


@pairs
def test_the_observation_says_nothing_about_velocities(pair):
    hidden, whole, _, velocities, action = PAIRS[pair]
    state = some_state(whole).numpy()
    faster = state.copy()
    faster[:, velocities] += 0.5
    np.testing.assert_array_equal(hidden.observe(tf.constant(state)), hidden.observe(tf.constant(faster)))
    one, other = (hidden.observe(hidden.transition(tf.constant(physics), action, SEED)[0]) for physics in (state, faster))
    assert np.all(np.any(one != other, axis=1))  # a step later it shows


def test_specs():
    assert CartPoleNoVelocity().spec.observation == Array((2,), minimum=[-np.inf] * 2, maximum=[np.inf] * 2)
    assert PendulumNoVelocity(max_episode_steps=7).spec.observation == Array((2,), minimum=[-1.0] * 2, maximum=[1.0] * 2)
    assert (CartPoleNoVelocity().spec.name, PendulumNoVelocity().spec.name) == ("cartpole-no-velocity", "pendulum-no-velocity")
    assert PendulumNoVelocity(max_episode_steps=7).spec.max_episode_steps == 7
    assert CartPoleNoVelocity().spec.action == Discrete(2)


def test_recall_asks_for_the_symbol_of_the_first_step():
    """Episodes of three steps: the symbol, a blank, the question; two rows answer 1, whatever was shown."""
    environment = Recall(num_symbols=3, delay=2)
    state = (tf.constant([1, 2], tf.int64), tf.zeros([2], tf.int64))
    action = tf.constant([1, 1], tf.int64)
    observed = [environment.observe(state).numpy()]
    rewards, ends = [], []
    for _ in range(3):
        state, reward, terminated, target = environment.transition(state, action, SEED)
        observed.append(environment.observe(state).numpy())
        rewards.append(reward.numpy())
        ends.append(terminated.numpy())
    np.testing.assert_array_equal(observed[0], [[0, 1, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(observed[1], np.zeros((2, 4)))
    np.testing.assert_array_equal(observed[2], [[0, 0, 0, 1]] * 2)
    np.testing.assert_array_equal(rewards, [[0, 0], [0, 0], [1, 0]])
    np.testing.assert_array_equal(ends, [[False] * 2, [False] * 2, [True] * 2])
    assert target == ()


def test_recall_episodes_are_one_step_longer_than_the_delay():
    runner = Autoreset(Recall(num_symbols=2, delay=4), 8, seed=0)
    episodes, timestep = runner.reset()
    symbols = [timestep.observation.numpy()[:, :2].argmax(axis=1)]
    for index in range(1, 11):
        episodes, timestep = runner.step(episodes, tf.zeros([8], tf.int64), tf.constant(index, tf.int64))
        assert np.all(timestep.terminated) == (index % 5 == 0)
        assert not np.any(timestep.truncated & ~timestep.terminated)
        if index % 5 == 0:
            np.testing.assert_array_equal(timestep.reward, symbols[-1] == 0)
            symbols.append(timestep.observation.numpy()[:, :2].argmax(axis=1))
    assert len(np.unique(symbols)) == 2
