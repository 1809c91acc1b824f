"""Running statistics: the mean and variance of everything seen so far, exact over any number of steps."""

from __future__ import annotations

import tensorflow as tf

from agentlab.algorithms.same_bits import square, sum_of_rows
from agentlab.system.ranges import COUNT, FINITE, Range
from agentlab.types import Shape, Tensor

LARGEST = 1e150  # in size; the square of a larger number is more than a float64 holds


class RunningStatistics:
    """Count, mean and variance of arrays of one shape, element by element; batches are merged as they come.

    The mean and the sum of squared deviations from it are updated, in float64, by the difference of a batch's mean from the
    mean so far (Welford 1962, doi:10.1080/00401706.1962.10490022; Chan, Golub and LeVeque 1983,
    doi:10.1080/00031305.1983.10483115). So nothing is lost where the mean is large and the variance small, or where one batch
    is added to ten million. The same batches give the same bits in every execution.

    Args:
        shape: of one array.
    """

    def __init__(self, shape: Shape) -> None:
        self._count = tf.Variable(0, dtype=tf.int64, name="count")
        self._mean = tf.Variable(tf.zeros(shape, tf.float64), trainable=False, name="mean")
        self._squares = tf.Variable(tf.zeros(shape, tf.float64), trainable=False, name="squares")  # of deviations, summed up

    @property
    def count(self) -> Tensor:
        """How many arrays there have been, int64 scalar."""
        return self._count.read_value()

    @property
    def mean(self) -> Tensor:
        """`[*shape]` float64; 0 before the first array."""
        return self._mean.read_value()

    @property
    def variance(self) -> Tensor:
        """The mean squared deviation from the mean, `[*shape]` float64; 1 before the first array."""
        count = tf.cast(self.count, tf.float64)
        return tf.where(count > 0.0, self._squares.read_value() / tf.maximum(count, 1.0), 1.0)

    def add(self, values: Tensor, counts: Tensor) -> None:
        """Takes in a batch; traceable.

        Args:
            values: `[N, *shape]`, finite numbers of any dtype; N is static.
            counts: `[N]` bool, False for rows that are left out.
        """
        values = tf.clip_by_value(tf.cast(values, tf.float64), -LARGEST, LARGEST)
        rows = tf.reshape(counts, [-1] + [1] * (len(values.shape) - 1))
        before, added = self.count, tf.reduce_sum(tf.cast(counts, tf.int64))

        # [*shape] how far the batch's mean is from the mean so far, and its squared deviations.
        distances = sum_of_rows(tf.where(rows, values - self.mean, 0.0))
        shift = distances / _at_least_one(added)
        deviations = tf.where(rows, values - (self.mean + shift), 0.0)
        within = sum_of_rows(square(deviations))

        # [*shape] what the distance of the two means adds.
        total = _at_least_one(before + added)
        between = square(shift) * tf.cast(before * added, tf.float64) / total

        increase = sum_of_rows(tf.stack([within, between]))
        self._mean.assign(self.mean + distances / total)
        self._squares.assign(self._squares.read_value() + increase)
        self._count.assign(before + added)

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of its variables can be; see `agentlab.memory.Memory.ranges`."""
        return {"count": COUNT, "mean": FINITE, "squares": Range(0.0)}


def _at_least_one(count: Tensor) -> Tensor:
    return tf.cast(tf.maximum(count, 1), tf.float64)
