"""Picks one of several values in each row, as of the outputs for all actions that of the action taken."""

from __future__ import annotations

import tensorflow as tf

from agentlab.tensors.aliases import Tensor


def selected(values: Tensor, index: Tensor) -> Tensor:
    """Returns `values[n, index[n]]` for every row n; differentiable with respect to `values`.

    The numbers are those of `tf.gather` with all axes of `index` as batch axes, but the gradient takes three operations
    where that of `tf.gather` takes fifty.

    Args:
        values: `[*N, K, ...]`, floating-point.
        index: `[*N]`, integers from 0 to K - 1.

    Returns:
        `[*N, ...]`.
    """
    # [*N, K] true at the index, and the further axes of the values.
    axis = index.shape.rank
    places = tf.range(values.shape[axis], dtype=index.dtype)
    here = tf.equal(tf.expand_dims(index, -1), places)
    for _ in range(values.shape.rank - axis - 1):
        here = tf.expand_dims(here, -1)

    # Not a product, since 0 times an infinity is no number.
    return tf.reduce_sum(tf.where(here, values, tf.zeros([], values.dtype)), axis=axis)
