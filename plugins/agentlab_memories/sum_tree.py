"""A sum tree in tf.Variables: draws entries with probability proportional to their weights, in a few operations."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from agentlab.system.ranges import Range
from agentlab.types import Tensor

FANOUT = 16  # children of a node: a million entries take 5 levels where a binary tree has 20, each a round of small operations
SUMMED_UP = FANOUT**2  # so many sums take less to add up at each search than to keep right at each change of an entry
EARLIER = np.triu(np.ones((FANOUT, FANOUT), np.float32), 1)  # at row i and column j, whether i comes before j


class SumTree:
    """A tree of sums of the weights of `size` entries, which are initially 0.

    The levels are matrices `[nodes, FANOUT]`; a row holds the children of one node of the level above it, the top has one row.
    The top two are not stored. A sum is recomputed from its children whenever one of them changes, so that errors of
    rounding do not build up: with a million entries it is right to one part in a million.

    Args:
        size: number of entries.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        rows = _rows(size)
        self._levels = [tf.Variable(tf.zeros([count, FANOUT]), trainable=False, name="tree") for count in reversed(rows)]

    @staticmethod
    def num_bytes(size: int) -> int:
        """Returns how many bytes a tree of so many entries takes."""
        return sum(_rows(size)) * FANOUT * 4

    def put(self, entries: Tensor, weights: Tensor) -> None:
        """Sets the weights `[N]` float32, 0 or greater, of `entries` `[N]` int64, each of which is named once or alike."""
        for index, level in reversed(list(enumerate(self._levels))):
            nodes = entries // FANOUT
            level.scatter_nd_update(tf.stack([nodes, entries % FANOUT], axis=-1), weights)
            if index:
                weights = tf.reduce_sum(tf.gather(level, nodes), axis=-1)
                entries = nodes

    def find(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the entries `[N]` int64 in whose stretches `shares` `[N]` lie, and their weights `[N]` float32.

        An entry's stretch is its weight's share of all weights, and they are laid end to end from 0 to 1.

        Wherever rounding puts a share, an entry without weight is never found, unless there is no other.

        Args:
            shares: float64, 0 to less than 1; float32 could not tell apart neighbouring entries of a million.
        """
        # The two highest levels have no variables: they are sums over the lowest stored one.
        sums = tf.reshape(tf.reduce_sum(self._levels[0], axis=-1), [-1, FANOUT])
        top = tf.reduce_sum(sums, axis=-1)[None]

        # [N] node of each point, starting at the root, and where the point lies in it.
        node, points = tf.zeros_like(shares, tf.int64), (shares * tf.cast(tf.reduce_sum(top), tf.float64))[:, None]
        for level in (top, sums, *self._levels):
            if level.shape[0] <= FANOUT:  # fewer rows than those to be read of them
                begins = tf.gather(_begins(level), node)
            else:
                weights = tf.gather(level, node)
                begins = _begins(weights)

            # [N] the last child that begins at or before the point; the point is then counted from there.
            child = tf.reduce_max(tf.where(begins <= points, tf.range(FANOUT, dtype=tf.int64), 0), axis=-1)
            points -= tf.gather(begins, child[:, None], batch_dims=1)
            node = node * FANOUT + child
        return node, tf.gather(weights, child, batch_dims=1)

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables: beyond the last entry 0, as there is none to draw."""
        counts = [self._size]
        for _ in self._levels[1:]:
            counts.append(-(-counts[-1] // FANOUT))
        return {f"levels/{index:03d}": Range(0, used=count) for index, count in enumerate(reversed(counts))}


def _rows(size: int) -> list[int]:
    """Returns the rows of the levels that are stored, from the entries up."""
    rows = [-(-size // FANOUT)]
    while rows[-1] > SUMMED_UP:
        rows.append(-(-rows[-1] // FANOUT))
    rows[-1] = SUMMED_UP
    return rows


def _begins(weights: Tensor) -> Tensor:
    """Returns where children begin in the stretch of their node, float64 `[N, FANOUT]`; infinity for those without weight."""
    begins = tf.reduce_sum(weights[:, :, None] * EARLIER, axis=1)  # XLA takes several times as long for tf.cumsum
    return tf.cast(tf.where(weights > 0.0, begins, math.inf), tf.float64)
