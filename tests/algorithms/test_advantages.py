"""Advantages worked by hand: terminated, truncated, both, the end of a rollout, resets; one environment and several."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab.algorithms.advantages import discounted_sums, generalized_advantages

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
