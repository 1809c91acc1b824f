"""Delayed updates: of a policy that learns less often than its critics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from agentlab.system.ranges import COUNT, Range
from agentlab.types import Metrics


class Delayed:
    """Makes every `period`-th of the updates it is asked for, the first one included.

    The metrics of the others are those of the last one made, so that means over updates are means of what was measured.

    Args:
        period: 1 or greater.
        names: of the metrics of an update.
    """

    def __init__(self, period: int, names: Sequence[str]) -> None:
        self._period = period
        self._names = tuple(names)
        self._asked = tf.Variable(0, dtype=tf.int64, trainable=False, name="asked")
        self._latest = tf.Variable(tf.zeros(len(self._names)), trainable=False, name="latest_metrics")

    def __call__(self, update: Callable[[], Metrics]) -> Metrics:
        """Makes an update if it is due and returns metrics, scalars by name; traceable."""
        if self._period == 1:
            return update()
        due = tf.equal(self._asked.read_value() % self._period, 0)
        self._asked.assign_add(1)
        tf.cond(due, lambda: self._make(update), lambda: 0)
        return dict(zip(self._names, tf.unstack(self._latest.read_value()), strict=True))

    def _make(self, update: Callable[[], Metrics]) -> int:
        """Makes the update; returns 0, since branches of a graph have to return something."""
        metrics = update()
        self._latest.assign(tf.stack([tf.reduce_mean(metrics[name]) for name in self._names]))
        return 0

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of its variables can be; see `agentlab.memory.Memory.ranges`."""
        return {"asked": COUNT}
