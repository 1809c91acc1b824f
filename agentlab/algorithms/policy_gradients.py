"""Building blocks of policy gradients: losses of policies and values, and how far an update has moved them."""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor


def clipped_gain(log_ratio: Tensor, advantage: Tensor, clip: Tensor) -> Tensor:
    """Returns what proximal policy optimization maximises, `[N]` (Schulman et al. 2017, arXiv:1707.06347, equation 7).

    Args:
        log_ratio: `[N]` float32, log-probability of the action less that when it was taken.
        advantage: `[N]` float32.
        clip: how far the ratio may move from 1 before it stops counting, a scalar greater than 0.

    >>> clipped_gain(tf.math.log([1.5, 0.5]), tf.constant([1.0, 1.0]), 0.2).numpy()
    array([1.2, 0.5], dtype=float32)
    """
    ratio = tf.exp(log_ratio)
    return tf.minimum(ratio * advantage, tf.clip_by_value(ratio, 1.0 - clip, 1.0 + clip) * advantage)


def value_error(values: Tensor, returns: Tensor, before: Tensor, clip: float | None = None) -> Tensor:
    """Returns half the squared error of values, `[N]`.

    Args:
        values: `[N]` float32, to be improved.
        returns: `[N]` float32, what they should be.
        before: `[N]` float32, the values when the actions were taken.
        clip: how far values may move from those before an improvement stops counting; None for any way, as is usual.
    """
    error = 0.5 * tf.square(values - returns)
    if clip is None:
        return error
    near = before + tf.clip_by_value(values - before, -clip, clip)
    return tf.maximum(error, 0.5 * tf.square(near - returns))


def normalized(values: Tensor, weight: Tensor) -> Tensor:
    """Returns values `[N]` less their mean, divided by their standard deviation; rows count by their weight `[N]`."""
    total = tf.maximum(tf.reduce_sum(weight), 1e-8)
    centred = values - tf.reduce_sum(weight * values) / total
    variance = tf.reduce_sum(weight * tf.square(centred)) / total
    return centred / (tf.sqrt(variance) + 1e-8)


def approximate_divergence(log_ratio: Tensor) -> Tensor:
    """Returns an estimate for each row, `[N]`, whose mean is the divergence KL(before || now) of the policies.

    It is never below 0 and varies less than minus the logarithm (Schulman 2020, joschu.net/blog/kl-approx.html).

    Args:
        log_ratio: as of `clipped_gain`.
    """
    return tf.math.expm1(log_ratio) - log_ratio


def explained_variance(values: Tensor, returns: Tensor, weight: Tensor) -> Tensor:
    """Returns the share of the returns' variance that values explain, a scalar: 1 for all of it, 0 or less for none.

    Args:
        values: `[N]` float32.
        returns: `[N]` float32; where they are all the same, the share is 0.
        weight: `[N]` float32, how much each row counts.
    """
    left, whole = _variance(returns - values, weight), _variance(returns, weight)
    return tf.where(whole > 0.0, 1.0 - left / tf.maximum(whole, 1e-12), 0.0)


def _variance(values: Tensor, weight: Tensor) -> Tensor:
    total = tf.maximum(tf.reduce_sum(weight), 1e-8)
    mean = tf.reduce_sum(weight * values) / total
    return tf.reduce_sum(weight * tf.square(values - mean)) / total
