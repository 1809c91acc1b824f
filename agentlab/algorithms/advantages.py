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


def lambda_returns(
    reward: Tensor, discount: Tensor, ended: Tensor, next_values: Tensor, factor: float, trace_decay: float
) -> Tensor:
    """Returns lambda-returns (Sutton and Barto 2018, equation 12.2; Peng and Williams 1996), `[N, T]` float32.

    `return(t) = reward(t) + factor * discount(t) * ((1 - lambda) * next_value(t) + lambda * return(t + 1))`, with a lambda of
    0 where the episode ended and at the last step: a truncated step bootstraps from the observation it led to, a terminated one
    has nothing beyond.

    Args:
        reward: `[N, T]` float32.
        discount: `[N, T]` float32, 0 where the task terminated, else 1.
        ended: `[N, T]` bool, whether the episode ended with the step, terminated or truncated.
        next_values: `[N, T]` float32, of what the actions led to, before any reset.
        factor: discount factor, 0 to 1.
        trace_decay: lambda, 0 for one-step returns to 1 for whole ones.

    >>> ones, ends = tf.ones([1, 2]), tf.constant([[False, False]])
    >>> lambda_returns(ones, ones, ends, 4.0 * ones, 0.5, 0.5).numpy()
    array([[2.75, 3.  ]], dtype=float32)
    """
    # [N, T] lambda of each step, and the discount of all that follows.
    is_last = tf.range(reward.shape[-1]) == reward.shape[-1] - 1
    trace = tf.where(ended | is_last, 0.0, trace_decay)
    following = factor * discount
    return discounted_sums(reward + following * (1.0 - trace) * next_values, following * trace)


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
