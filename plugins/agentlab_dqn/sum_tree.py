"""A tree of sums in tf.Variables: draws an entry with probability in proportion to its weight, in a few operations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

FANOUT = 16  # children of a node: a million entries take 5 levels where a binary tree has 20, each a round of small operations


class SumTree:
    """Weights of `size` entries, 0 at first, and their sums by groups, groups of groups and so on.

    The levels are matrices `[nodes, FANOUT]`; a row holds the children of one node of the level above it, the top has one row.

    Args:
        size: number of entries.
    """

    def __init__(self, size: int) -> None:
        rows = [-(-size // FANOUT)]
        while rows[-1] > 1:
            rows.append(-(-rows[-1] // FANOUT))
        self._levels = [tf.Variable(tf.zeros([count, FANOUT]), trainable=False, name="tree") for count in reversed(rows)]

    def put(self, entries: Any, weights: Any) -> None:
        """Sets the weights `[N]` float32, 0 or greater, of `entries` `[N]` int64, each of which is named once or alike."""
        for index, level in reversed(list(enumerate(self._levels))):
            nodes = entries // FANOUT
            level.scatter_nd_update(tf.stack([nodes, entries % FANOUT], axis=-1), weights)
            if index:
                weights = tf.reduce_sum(tf.gather(level, nodes), axis=-1)
                entries = nodes

    def total(self) -> Any:
        """Returns the sum of all weights."""
        return tf.reduce_sum(self._levels[0])

    def find(self, points: Any) -> tuple[Any, Any]:
        """Returns the entries `[N]` int64 in whose stretches `points` `[N]` lie, and their weights `[N]`.

        An entry's stretch is as long as its weight, and they are laid end to end from 0 on.

        Points are 0 or greater and less than the total. Where rounding puts a point, an entry without weight is never found,
        unless there is no other.
        """
        node = tf.zeros_like(points, tf.int64)
        for level in self._levels:
            weights = tf.gather(level, node)
            ends = tf.cumsum(weights, axis=-1)
            behind = (ends <= points[:, None], ends < ends[:, -1:])
            reached, last = (tf.reduce_sum(tf.cast(is_behind, tf.int64), axis=-1) for is_behind in behind)
            child = tf.minimum(reached, last)
            weight = tf.gather(weights, child, batch_dims=1)
            points = tf.maximum(points - (tf.gather(ends, child, batch_dims=1) - weight), 0.0)
            node = node * FANOUT + child
        return node, weight

    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables by name, level 0 being the top."""
        return {f"tree/{index}": level for index, level in enumerate(self._levels)}
