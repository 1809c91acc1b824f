"""Advantages within groups: attempts at the same problem, compared with each other instead of with a value."""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor

SMALLEST = 1e-4  # added to a standard deviation, as published


def group_advantages(reward: Tensor, group_size: int, normalize: bool = False) -> Tensor:
    """Returns how much better each attempt is than the mean of its group, `[B]` float32; traceable.

    Args:
        reward: `[B]` float32; each `group_size` rows in a row are a group.
        group_size: G, at least 2.
        normalize: whether to divide by the standard deviation of the group (Shao et al. 2024, arXiv:2402.03300, section 4.1);
            without, problems of which some attempts succeed weigh more than those that all or none solve.

    >>> group_advantages(tf.constant([1.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0]), 4).numpy().tolist()
    [0.75, -0.25, -0.25, -0.25, 0.0, 0.0, 0.0, 0.0]
    """
    groups = tf.reshape(reward, [-1, group_size])
    centred = groups - tf.reduce_mean(groups, axis=1, keepdims=True)
    if normalize:
        centred = centred / (group_deviations(reward, group_size)[:, None] + SMALLEST)
    return tf.reshape(centred, [-1])


def group_deviations(reward: Tensor, group_size: int) -> Tensor:
    """Returns the standard deviation of the rewards `[B]` of each group, `[B / G]` float32; traceable."""
    groups = tf.reshape(reward, [-1, group_size])
    return tf.sqrt(tf.reduce_mean(tf.square(groups - tf.reduce_mean(groups, axis=1, keepdims=True)), axis=1))
