"""A memory keeps steps in tf.Variables and hands out batches."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Layout, Memory, weight_of
from agentlab.system.ranges import COUNT, Range
from agentlab.types import Batch, Seed, Step, Tensor


@attrs.define(slots=False, eq=False)
class MyPlugin(Memory):
    """Keeps the last `size` steps and hands out all of them; while there are fewer, some of them twice.

    Attributes:
        size: N, steps kept, and in a batch.
    """

    size: int = attrs.field(default=64, validator=attrs.validators.ge(1))

    def build(self, layout: Layout) -> None:
        request = layout.request
        if request.num_steps != 1 or request.length is not None:
            raise errors.UsageError(
                f"This memory hands out single steps; the trainer learns from {request.num_steps * (request.length or 1)} in a "
                "row. Choose another memory, such as 'replay' or 'rollout'."
            )

        def ring(leaf: tf.TensorSpec) -> tf.Variable:
            return tf.Variable(tf.zeros([self.size, *leaf.shape], leaf.dtype), trainable=False)

        self._stored = tf.nest.map_structure(ring, attrs.asdict(layout.step_signature(), recurse=False))
        self._added = tf.Variable(0, dtype=tf.int64, trainable=False)

    def add(self, step: Step, row: Tensor) -> None:
        rows = tf.shape(row, out_type=tf.int64)[0]
        newest = tf.range(tf.maximum(rows - self.size, 0), rows)  # of more rows than fit, the last
        slots = (self._added.read_value() + newest) % self.size

        def put(ring: tf.Variable, values: Tensor) -> None:
            ring.scatter_update(tf.IndexedSlices(tf.gather(values, newest), slots))

        tf.nest.map_structure(put, self._stored, attrs.asdict(step, recurse=False))
        self._added.assign_add(rows)

    def sample(self, seed: Seed) -> Batch:
        known = tf.minimum(self._added.read_value(), self.size)
        slots = tf.range(self.size, dtype=tf.int64) % known
        leaves = tf.nest.map_structure(lambda ring: tf.gather(ring, slots), self._stored)
        return Batch(**leaves, weight=weight_of(leaves["acted"]))  # rows that are no transition weigh nothing

    def ranges(self) -> dict[str, Range]:
        return {**super().ranges(), "added": COUNT}  # a checkpoint with other numbers is refused
