"""What policy gradients are made of, against arithmetic by hand."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab.algorithms.policy_gradients import (
    approximate_divergence,
    clipped_gain,
    explained_variance,
    normalized,
    value_error,
)


def test_the_gain_stops_growing_at_the_clip_and_never_stops_falling(compiled):
    """Where the advantage is 2: ratios 0.5, 1, 1.5; where it is -2: the same."""
    log_ratio = tf.math.log([0.5, 1.0, 1.5] * 2)
    advantage = tf.constant([2.0] * 3 + [-2.0] * 3)
    gain = compiled(clipped_gain)(log_ratio, advantage, tf.constant(0.2))
    np.testing.assert_allclose(gain, [1.0, 2.0, 2.4, -1.6, -2.0, -3.0], rtol=1e-6)


def test_the_gradient_of_the_gain_is_that_of_the_ratio_where_it_counts():
    log_ratio, advantage = tf.Variable(np.log(np.float32([0.5, 1.0, 1.5] * 2))), np.float32([2.0] * 3 + [-2.0] * 3)
    with tf.GradientTape() as tape:
        gain = clipped_gain(log_ratio, advantage, 0.2)
    ratio = np.float32([0.5, 1.0, 0.0, 0.0, 1.0, 1.5])  # 0: beyond the clip
    np.testing.assert_allclose(tape.gradient(gain, log_ratio), ratio * advantage, rtol=1e-6)


def test_value_errors_with_and_without_a_clip(compiled):
    """Return 4, value before 1: an improvement counts up to 1 + 0.5; being off in the other direction does in full."""
    values, returns, before = tf.constant([3.0, 1.25, -1.0]), tf.fill([3], 4.0), tf.ones([3])
    plain = compiled(lambda *leaves: value_error(*leaves))(values, returns, before)
    clipped = compiled(lambda *leaves: value_error(*leaves, 0.5))(values, returns, before)
    np.testing.assert_allclose(plain, [0.5, 0.5 * 2.75**2, 12.5])
    np.testing.assert_allclose(clipped, [0.5 * 2.5**2, 0.5 * 2.75**2, 12.5])


def test_normalized_values_leave_out_what_weighs_nothing(compiled):
    result = compiled(normalized)(tf.constant([1.0, 3.0, 100.0]), tf.constant([1.5, 1.5, 0.0])).numpy()
    np.testing.assert_allclose(result, [-1.0, 1.0, 98.0], rtol=1e-5)


def test_equal_values_are_normalized_to_zero():
    np.testing.assert_array_equal(normalized(tf.constant([3.0, 3.0]), tf.ones([2])), [0.0, 0.0])


def test_the_divergence_of_two_policies_by_hand():
    """Policies (1/2, 1/2) before and (1/4, 3/4) now: log(2)/2 + log(2/3)/2, the mean over draws from the first."""
    ratio = np.float32([0.5, 1.5])
    estimate = approximate_divergence(tf.math.log(ratio)).numpy()
    assert (estimate >= 0).all()
    assert estimate.mean() == pytest.approx(0.5 * np.log(2.0) + 0.5 * np.log(2.0 / 3.0), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 5.0, 0.0], 1.0), ([0.0, 4.0, 0.0], 1.0), ([3.0, 3.0, 0.0], 0.0), ([5.0, 1.0, 0.0], -3.0), ([2.0, 4.0, 0.0], 0.75)],
)
def test_explained_variance(values, expected):
    """Returns 1 and 5; the third row weighs nothing. That all values are off alike makes no difference."""
    explained = explained_variance(tf.constant(values), tf.constant([1.0, 5.0, 99.0]), tf.constant([1.5, 1.5, 0.0]))
    assert float(explained) == pytest.approx(expected, abs=1e-6)


def test_equal_returns_have_no_variance_to_explain():
    assert float(explained_variance(tf.constant([1.0, 2.0]), tf.constant([3.0, 3.0]), tf.ones([2]))) == 0.0
