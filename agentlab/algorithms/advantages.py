"""Returns and advantages of sequences of steps: nothing is learned across an end, and truncated steps bootstrap."""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor


def generalized_advantages(
    reward: Tensor, discount: Tensor, ended: Tensor, values: Tensor, next_values: Tensor, factor: float, trace_decay: float
) -> Tensor:
    """Returns generalized advantage estimates (Schulman et al. 2016, arXiv:1506.02438, equation 16), `[N, T]` float32.

    A terminated step has no value beyond; a truncated one bootstraps from the observation it led to; neither is summed up
    with the steps of the next episode. The last step bootstraps from `next_values`.

    Args:
        reward: `[N, T]` float32.
        discount: `[N, T]` float32, 0 where the task terminated, else 1.
        ended: `[N, T]` bool, whether the episode ended with the step, terminated or truncated.
        values: `[N, T]` float32, of the observations acted on.
        next_values: `[N, T]` float32, of what the actions led to, before any reset.
        factor: discount factor, 0 to 1.
        trace_decay: lambda, 0 to 1.

    >>> ones, ends = tf.ones([1, 2]), tf.constant([[False, False]])
    >>> generalized_advantages(ones, ones, ends, tf.zeros([1, 2]), ones, 0.5, 1.0).numpy()
    array([[2.25, 1.5 ]], dtype=float32)
    """
    errors = reward + factor * discount * next_values - values  # [N, T]
    decay = factor * trace_decay * tf.where(ended, 0.0, 1.0)  # [N, T]
    return discounted_sums(errors, decay)


def discounted_sums(values: Tensor, decay: Tensor) -> Tensor:
    """Returns `sums[t] = values[t] + decay[t] * sums[t + 1]` along the last axis, `[N, T]`, with nothing beyond its end.

    Sums over 1, 2, 4, ... steps are made of two of half the length: log T operations, whatever the length.

    Args:
        values: `[N, T]` float32.
        decay: `[N, T]` float32.
    """
    length = values.shape[-1]
    ahead = 1
    while ahead < length:
        values = values + decay * _ahead(values, ahead)
        decay = decay * _ahead(decay, ahead)
        ahead *= 2
    return values


def _ahead(values: Tensor, steps: int) -> Tensor:
    """Returns the `values` `[N, T]` of that many steps later, 0 beyond the end."""
    return tf.concat([values[:, steps:], tf.zeros_like(values[:, :steps])], axis=1)
