"""Replay that prefers recent steps."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.memory import Layout, Memory, weight_of
from agentlab.system.ranges import COUNT, Range
from agentlab.types import Batch, Seed, Step, Tensor


@attrs.define(slots=False, eq=False)
class RecentReplay(Memory):
    """Stores the last `capacity` steps; of several that are drawn uniformly, it hands out the newest.

    Attributes:
        capacity: steps stored; the oldest is overwritten.
        batch_size: N, steps in a batch.
        num_candidates: steps drawn for each row of a batch; 1 for uniform replay.
    """

    capacity: int = attrs.field(default=10_000, validator=attrs.validators.ge(1))
    batch_size: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    num_candidates: int = attrs.field(default=2, validator=[attrs.validators.ge(1), attrs.validators.le(100)])

    def build(self, layout: Layout) -> None:
        request = layout.request
        if request.num_steps != 1 or request.length is not None:
            raise errors.UsageError(
                f"RecentReplay hands out single steps; the trainer learns from {request.num_steps * (request.length or 1)} "
                "in a row. Choose another memory, such as 'replay' or 'rollout'."
            )

        def ring(leaf: tf.TensorSpec) -> tf.Variable:
            return tf.Variable(tf.zeros([self.capacity, *leaf.shape], leaf.dtype), trainable=False)

        self._stored = tf.nest.map_structure(ring, attrs.asdict(layout.step_signature(), recurse=False))
        self._added = tf.Variable(0, dtype=tf.int64, trainable=False)

    def add(self, step: Step, row: Tensor) -> None:
        rows = tf.shape(row, out_type=tf.int64)[0]
        newest = tf.range(tf.maximum(rows - self.capacity, 0), rows)  # of more rows than fit, the last
        slots = (self._added.read_value() + newest) % self.capacity

        def put(ring: tf.Variable, values: Tensor) -> None:
            ring.scatter_update(tf.IndexedSlices(tf.gather(values, newest), slots))

        tf.nest.map_structure(put, self._stored, attrs.asdict(step, recurse=False))
        self._added.assign_add(rows)

    def sample(self, seed: Seed) -> Batch:
        # [N] ages of the newest candidates, 0 being the last step added.
        added = self._added.read_value()
        ages = seeds.integers(seed, [self.batch_size, self.num_candidates], tf.minimum(added, self.capacity))
        slots = (added - 1 - tf.reduce_min(ages, axis=-1)) % self.capacity

        leaves = tf.nest.map_structure(lambda ring: tf.gather(ring, slots), self._stored)
        return Batch(**leaves, weight=weight_of(leaves["acted"]))  # rows that are no transition weigh nothing

    def ranges(self) -> dict[str, Range]:
        return {**super().ranges(), "added": COUNT}  # a checkpoint with other numbers is refused

    def appended_rows(self) -> dict[str, int]:
        rows = int(self._added.numpy())  # a checkpoint copies those that came since the last one
        return {name: rows for name in self.variables() if name != "added"}
