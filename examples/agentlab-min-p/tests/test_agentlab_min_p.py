"""The contract's tests, and draws that are known in advance."""

import math

import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.distribution import Categorical, Normal
from agentlab.testing import SamplerTests, TaskTests
from agentlab_min_p.sampler import MinP


class TestMinP(SamplerTests):
    part = MinP


class TestTask(TaskTests):
    name = "agentlab-min-p:identity-min-p"


@pytest.mark.parametrize(("min_p", "expected"), [(0.1, [0.5, 0.4, 0.1]), (0.3, [5 / 9, 4 / 9, 0]), (1.0, [1, 0, 0])])
def test_draws_are_as_frequent_as_what_is_left_is_probable(min_p, expected):
    """Of 0.5, 0.4 and 0.1, the last is a fifth as probable as the first."""
    output = tf.tile([[math.log(0.5), math.log(0.4), math.log(0.1)]], [20_000, 1])
    distribution = Categorical(num_values=3).of(output)
    drawn = MinP(min_p).sample(distribution, tf.constant(0, tf.int64), seeds.at(0, 0)).numpy()
    shares = np.bincount(drawn, minlength=3) / 20_000
    np.testing.assert_allclose(shares, expected, atol=5 * 0.5 / 20_000**0.5)
    assert not shares[np.array(expected) == 0].any()


def test_actions_that_are_numbers_are_refused():
    distribution = Normal(shape=(2,)).of(tf.zeros([1, 4]))
    with pytest.raises(errors.UsageError, match="Min-p needs choices of one kind; actions are drawn from a Normal"):
        MinP().sample(distribution, tf.constant(0, tf.int64), seeds.at(0, 0))
