"""Prioritised replay: transitions with large errors are drawn more often."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.fields import fraction, positive
from agentlab.memory import Layout
from agentlab.schedules import Linear, Schedule, as_schedule, values_of
from agentlab.system.ranges import COUNT, Range
from agentlab.tensors.execution import repeat
from agentlab.types import Batch, Nest, Seed, Step, Tensor
from agentlab_memories.replay import UniformReplay
from agentlab_memories.sum_tree import SumTree


@attrs.define(slots=False, eq=False)
class PrioritizedReplay(UniformReplay):
    """Draws transitions in proportion to a power of the trainer's error on them (Schaul et al. 2016, arXiv:1511.05952).

    What is new counts as much as anything so far, so that it is soon learned from. A batch takes one transition from each of
    `batch_size` stretches of equal probability. That the improbable ones are drawn less often is made up for by weights in the
    loss, the largest of a batch being 1.

    Attributes:
        priority_exponent: alpha, 0 to 1; 0 draws uniformly.
        weight_exponent: beta, 0 to 1: how far the weights make up for it, 1 being wholly; a schedule counts batches drawn.
        smallest_error: added to every error, so that nothing is never drawn again.
    """

    priority_exponent: float = fraction(0.5)
    weight_exponent: float | Schedule = attrs.field(factory=lambda: Linear(0.4, 1.0, 100_000))
    smallest_error: float = positive(1e-6)

    def __attrs_post_init__(self) -> None:
        if any(not 0.0 <= value <= 1.0 for value in values_of(self.weight_exponent)):
            raise ValueError(f"'weight_exponent' must be 0 to 1: {self.weight_exponent}")

    def _bytes_beside(self, layout: Layout) -> int:
        return super()._bytes_beside(layout) + SumTree.num_bytes(self.capacity)

    def build(self, layout: Layout) -> None:
        if not layout.request.priority:
            raise errors.UsageError(
                "Prioritised replay draws by the trainer's error on each transition, which this trainer doesn't report. "
                "Choose another memory, such as 'replay', or another trainer."
            )
        super().build(layout)
        self._tree = SumTree(self.capacity)
        self._largest = tf.Variable(1.0, trainable=False, name="largest_priority")
        self._drawn = tf.Variable(0, dtype=tf.int64, trainable=False, name="batches")

    def add(self, step: Step, row: Tensor) -> None:
        begin = self._ring.bounds()[0]
        self._enter(self._ring.add(step, row))
        if self._ring.sheds_early:
            self._retire(begin)

    def _enter(self, count: Tensor) -> None:
        """Gives those of the last `count` transitions and before them that are complete by now the largest priority so far."""
        added, left_out, oldest = self._ring.added(), self._ring.newest_left_out, self._ring.bounds()[0]

        # [N] numbers of what was added, and of what has become complete by it.
        numbers = added - count + tf.range(tf.maximum(count - self.capacity, 0), count)  # of a constant length where N is one
        if left_out:
            earlier = numbers - left_out
            numbers = tf.concat([numbers, tf.where(earlier >= oldest, earlier, numbers)], axis=0)

        # New steps get the largest priority so far, so that each is drawn soon; incomplete ones none.
        largest = tf.fill(tf.shape(numbers), self._largest.read_value())
        self._tree.put(numbers % self.capacity, tf.where(numbers < added - left_out, largest, 0.0))

    def _retire(self, begin: Tensor) -> None:
        """Takes away the priority of what is no longer whole, though not overwritten; before, that began at number `begin`."""
        oldest = tf.maximum(begin, self._ring.added() - self.capacity)

        def drop(number: Tensor) -> Tensor:
            self._tree.put(number[None] % self.capacity, tf.zeros([1]))
            return number + 1

        repeat(drop, oldest, self._ring.bounds()[0] - oldest)

    def sample(self, seed: Seed) -> Batch:
        # [N] points, one in each of N equal stretches of the sum of all priorities: lower variance than free draws.
        begin, _ = self._ring.bounds()
        stretch = np.arange(self.batch_size) + tf.cast(seeds.uniform(seed, [self.batch_size]), tf.float64)
        drawn, priorities = self._tree.find(stretch / self.batch_size)

        # [N] importance weights, 1 for the rarest row of the batch.
        exponent = as_schedule(self.weight_exponent)(self._drawn.read_value())
        weight = tf.pow(tf.reduce_min(priorities) / priorities, exponent)
        self._drawn.assign_add(1)

        # Nothing can be drawn before the first complete transition; the oldest step stands in.
        any_complete = priorities > 0.0
        slots = tf.where(any_complete, drawn, begin % self.capacity)
        weight = tf.where(any_complete, weight, 1.0)
        batch = self._ring.read(slots)
        if not isinstance(batch.weight, tuple):  # [N, T] of sequences
            weight = weight[:, None] * batch.weight
        return attrs.evolve(batch, weight=weight, place=slots)

    @property
    def samples_early(self) -> bool:
        return False  # what is new has a priority, too, which every draw depends on

    def update_priorities(self, place: Nest, priority: Tensor) -> None:
        priorities = tf.pow(priority + self.smallest_error, self.priority_exponent)
        same = tf.equal(place[:, None], place)  # of one that was drawn twice, the larger counts
        self._tree.put(place, tf.reduce_max(tf.where(same, priorities[:, None], 0.0), axis=0))
        self._largest.assign(tf.maximum(self._largest.read_value(), tf.reduce_max(priorities)))

    def ranges(self) -> dict[str, Range]:
        return {**super().ranges(), "largest": Range(0), "drawn": COUNT}
