"""Advantages worked by hand: terminated, truncated, both, the end of a rollout, resets; one environment and several."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab.algorithms.advantages import discounted_sums, generalized_advantages, lambda_returns

# With g = 0.5 and lambda = 0.5, an error counts a quarter a step earlier; all values are 2 and all next values 4, so the
# error of a step is reward + 0.5 * discount * 4 - 2: as large as the reward where something lies beyond, else reward - 2.
ROWS = {
    "goes on": ([8, 4, 16], [1, 1, 1], [0, 0, 0], [8 + (4 + 16 / 4) / 4, 4 + 16 / 4, 16]),
    "terminated": ([8, 4, 16], [1, 0, 1], [0, 1, 0], [8 + (4 - 2) / 4, 4 - 2, 16]),
    "truncated": ([8, 4, 16], [1, 1, 1], [0, 1, 0], [8 + 4 / 4, 4, 16]),
    "both at once": ([8, 4, 16], [1, 0, 1], [0, 1, 0], [8 + (4 - 2) / 4, 4 - 2, 16]),
    "terminated at the end": ([8, 4, 16], [1, 1, 0], [0, 0, 1], [8 + (4 + 14 / 4) / 4, 4 + 14 / 4, 16 - 2]),
    "truncated at the end": ([8, 4, 16], [1, 1, 1], [0, 0, 1], [8 + (4 + 16 / 4) / 4, 4 + 16 / 4, 16]),
    # The second step was only a reset: the first one ended its episode, and nothing of the second reaches it.
    "a reset in between": ([8, 0, 16], [1, 1, 1], [1, 1, 0], [8, 0, 16]),
}


def advantages(names, compiled):
    reward, discount, ended, _ = (np.float32([ROWS[name][column] for name in names]) for column in range(4))

    def compute(*leaves):
        return generalized_advantages(*leaves, 0.5, 0.5)

    twos = np.full_like(reward, 2.0)
    return compiled(compute)(*map(tf.constant, (reward, discount, ended.astype(bool), twos, 2 * twos))).numpy()


@pytest.mark.parametrize("name", ROWS)
def test_advantages_of_one_environment(compiled, name):
    np.testing.assert_array_equal(advantages([name], compiled), [ROWS[name][3]])


def test_advantages_of_environments_side_by_side(compiled):
    np.testing.assert_array_equal(advantages(ROWS, compiled), [row[3] for row in ROWS.values()])


# With g = 0.5 and lambda = 0.5 and all next values 4, a step that goes on adds a quarter of the next return and 1 for the next
# value; one that bootstraps only adds 2.
RETURNS = {
    "goes on": ([8, 4, 16], [1, 1, 1], [0, 0, 0], [8 + 1 + (4 + 1 + (16 + 2) / 4) / 4, 4 + 1 + (16 + 2) / 4, 16 + 2]),
    "terminated": ([8, 4, 16], [1, 0, 1], [0, 1, 0], [8 + 1 + 4 / 4, 4, 16 + 2]),
    "truncated": ([8, 4, 16], [1, 1, 1], [0, 1, 0], [8 + 1 + (4 + 2) / 4, 4 + 2, 16 + 2]),
    "both at once": ([8, 4, 16], [1, 0, 1], [0, 1, 0], [8 + 1 + 4 / 4, 4, 16 + 2]),
    "terminated at the end": ([8, 4, 16], [1, 1, 0], [0, 0, 1], [8 + 1 + (4 + 1 + 16 / 4) / 4, 4 + 1 + 16 / 4, 16]),
    "a reset in between": ([8, 0, 16], [1, 1, 1], [1, 1, 0], [8 + 2, 0 + 2, 16 + 2]),
}


def test_lambda_returns_by_hand(compiled):
    reward, discount, ended, expected = (np.float32([row[column] for row in RETURNS.values()]) for column in range(4))
    fours = np.full_like(reward, 4.0)
    returns = compiled(lambda *leaves: lambda_returns(*leaves, 0.5, 0.5))
    np.testing.assert_array_equal(returns(*map(tf.constant, (reward, discount, ended.astype(bool), fours))), expected)


def test_lambda_returns_are_advantages_and_values_where_values_agree():
    """What an action led to is worth as much as the next observation, but for ends."""
    generator = np.random.default_rng(1)
    reward, values = generator.normal(size=(2, 3, 9)).astype(np.float32)
    ended = generator.random((3, 9)) < 0.2
    discount = np.where(ended & (generator.random((3, 9)) < 0.5), 0.0, 1.0).astype(np.float32)
    beyond = generator.normal(size=(3, 9)).astype(np.float32)
    next_values = np.where(ended | (np.arange(9) == 8), beyond, np.roll(values, -1, axis=1))
    advantages = generalized_advantages(reward, discount, ended, values, next_values, 0.9, 0.7)
    returns = lambda_returns(reward, discount, ended, next_values, 0.9, 0.7)
    np.testing.assert_allclose(returns, advantages + values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 128])
def test_sums_are_those_of_a_loop(compiled, length):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(3, length)).astype(np.float32)
    decay = (generator.random((3, length)) * (generator.random((3, length)) > 0.2)).astype(np.float32)
    expected, beyond = np.zeros_like(values), np.zeros(3)
    for step in reversed(range(length)):
        beyond = values[:, step] + decay[:, step] * beyond
        expected[:, step] = beyond
    np.testing.assert_allclose(compiled(discounted_sums)(values, decay), expected, rtol=1e-5, atol=1e-6)
