"""Sums and products of float64 numbers that have the same bits eagerly, as a graph and through XLA.

Three things make those differ: the order in which a reduction adds, the order into which TensorFlow brings a tree of
additions, and XLA's contraction of a product and a sum to one instruction that rounds once. Here the order is written out, by
slices that stand between the additions, and products are made of factors so short that none is rounded.
"""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor

TAIL = 2**27 - 1  # the bits of a float64's mantissa beyond the first 26
HEAD = -TAIL - 1  # a mask of all others


def product(left: Tensor, right: Tensor) -> Tensor:
    """Returns `left * right`, float64; the relative error is at most 2**-50 (Dekker 1971, doi:10.1007/BF01397083)."""
    high, low = _halves(left)
    other_high, other_low = _halves(right)
    return sum_of_rows(tf.stack([high * other_high, high * other_low, low * other_high, low * other_low]))


def square(value: Tensor) -> Tensor:
    """Returns `value * value`, float64, with half of the operations of `product`; the relative error is at most 2**-49."""
    high, low = _halves(value)
    return sum_of_rows(tf.stack([high * high, (high + high) * low]))


def sum_of_rows(values: Tensor) -> Tensor:
    """Returns the sum `[...]` of float64 rows `[N, ...]`: of neighbours, then of neighbouring sums, and so on; N is static."""
    while values.shape[0] > 1:
        if values.shape[0] % 2:
            values = tf.concat([values, tf.zeros_like(values[:1])], axis=0)
        values = values[0::2] + values[1::2]
    return values[0]


def _halves(value: Tensor) -> tuple[Tensor, Tensor]:
    """Returns two numbers of 26 bits each that add up to the first 52 bits of `value`."""
    high = _head(value)
    return high, _head(value - high)


def _head(value: Tensor) -> Tensor:
    bits = tf.bitwise.bitwise_and(tf.bitcast(value, tf.int64), tf.constant(HEAD, tf.int64))
    return tf.bitcast(bits, tf.float64)
