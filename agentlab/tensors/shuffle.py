"""Shuffles as a pure function of (key, epoch): the place of an index is computed without an array of all indices.

A generalised Feistel network permutes pairs `(left, right)` of a rectangle; an index that falls outside the wanted range is
permuted again until it falls inside (cycle walking). Both: Black and Rogaway, Ciphers with arbitrary finite domains (2002),
doi:10.1007/3-540-45760-7_9. Integers only: the same bits eagerly, as a graph and under XLA, which has no
`tf.random.experimental.index_shuffle`.
"""

from __future__ import annotations

import functools
import math

import tensorflow as tf

from agentlab.tensors.aliases import Tensor

ROUNDS = 6
WORD = 0xFFFFFFFF  # intermediate values are words of 32 bits, in int64 so that no product overflows


def shuffled(index: Tensor, size: int, key: int | Tensor, epoch: Tensor) -> Tensor:
    """Returns the place of `index` in a random permutation of 0 to `size - 1`: another one for each key and epoch.

    Args:
        index: `[N]` int64, each in 0 to `size - 1`.
        size: of the permutation.
        key: `[N]` or scalar int64, not negative.
        epoch: `[N]` or scalar int64, not negative.
    """
    # A permutation of a rectangle that holds `size` places and few more.
    height, width = rectangle(size)
    word = _mixed(_mixed(_folded(key)) ^ _folded(epoch))
    place = _permuted(index, height, width, word)
    if height * width == size:
        return place

    # Places beyond the size are permuted again until they are inside, which keeps it a permutation.
    def outside(place: Tensor) -> Tensor:
        return tf.reduce_any(place >= size)

    def again(place: Tensor) -> Tensor:
        return tf.where(place >= size, _permuted(place, height, width, word), place)

    return tf.while_loop(outside, lambda place: (again(place),), (place,))[0]


@functools.lru_cache
def rectangle(size: int) -> tuple[int, int]:
    """Returns the sides of a rectangle of at least `size` cells, as few more as there can be, the sides much alike."""
    root = math.isqrt(size)
    heights = range(max(1, root // 2), root + 2)
    return min(((height, -(-size // height)) for height in heights), key=lambda sides: (math.prod(sides), sides[1]))


def _permuted(index: Tensor, height: int, width: int, word: Tensor) -> Tensor:
    left, right = index // width, index % width
    for number in range(0, ROUNDS, 2):
        left = (left + _mixed(word ^ (right * 2 + 1) ^ _salt(number))) % height
        right = (right + _mixed(word ^ (left * 2) ^ _salt(number + 1))) % width
    return left * width + right


def _salt(number: int) -> int:
    return (number + 1) * 0x9E3779B9 & WORD


def _folded(value: Tensor) -> Tensor:
    value = tf.convert_to_tensor(value, tf.int64)
    return (value ^ tf.bitwise.right_shift(value, tf.constant(32, tf.int64))) & WORD


def _mixed(word: Tensor) -> Tensor:
    """Returns 32 bits each of which depends on all bits of `word` (int64): a finalizer of the kind of MurmurHash3's."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x46CA68A5)):
        word = (word ^ tf.bitwise.right_shift(word, tf.constant(shift, tf.int64))) * factor & WORD
    return word ^ tf.bitwise.right_shift(word, tf.constant(16, tf.int64))
