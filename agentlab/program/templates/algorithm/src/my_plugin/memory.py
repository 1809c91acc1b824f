"""The memory: what the trainer learns from, in tf.Variables."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Layout, Memory, weight_of
from agentlab.system.ranges import COUNT, Range
from agentlab.types import Batch, Nest, Seed, Step, Tensor


@attrs.define(slots=False, eq=False)
class MyPluginMemory(Memory):
    """Stores the last T steps of every environment and hands out all of them in order, `[B, T, ...]`.

    The trainer says what T is, so there is nothing to set.
    """

    def build(self, layout: Layout) -> None:
        request = layout.request
        if request.order != "all" or request.num_steps != 1:
            raise errors.UsageError(
                "Memory 'my-plugin' hands out every step since the last update, in order; the trainer asks for "
                f"{'random draws' if request.order == 'any' else f'sums of {request.num_steps} steps'}. Choose memory 'replay'."
            )
        self._length, self._rows = request.length or 1, layout.num_environments
        slots = self._length * self._rows  # slot = turn * B + environment

        def storage(leaf: tf.TensorSpec) -> tf.Variable:
            return tf.Variable(tf.zeros([slots, *leaf.shape], leaf.dtype), trainable=False)

        self._stored: dict[str, Nest] = tf.nest.map_structure(storage, _leaves(layout.step_signature()))
        self._added = tf.Variable(0, dtype=tf.int64, trainable=False)  # rows, ever

    def add(self, step: Step, row: Tensor) -> None:
        # [N] rows: whole turns of B, of which only the last T have a slot.
        count = tf.shape(row, out_type=tf.int64)[0]
        newest = tf.range(tf.maximum(count - self._length * self._rows, 0), count)
        leaves, row = tf.nest.map_structure(lambda leaf: tf.gather(leaf, newest), (_leaves(step), row))

        turn = (self._added.read_value() + newest) // self._rows % self._length
        slots = turn * self._rows + row
        tf.nest.map_structure(lambda stored, leaf: _write(stored, slots, leaf), self._stored, leaves)
        self._added.assign_add(count)

    def cut(self, row: Tensor) -> None:
        newest = (self._added.read_value() // self._rows - 1) % self._length
        _write(self._stored["ended"], newest * self._rows + row, tf.ones_like(row, tf.bool))

    def sample(self, seed: Seed) -> Batch:
        # [T] turns, oldest first; then the slots [B, T] of each environment.
        oldest = self._added.read_value() // self._rows
        turns = (oldest + tf.range(self._length, dtype=tf.int64)) % self._length
        slots = turns[None, :] * self._rows + tf.range(self._rows, dtype=tf.int64)[:, None]
        leaves = tf.nest.map_structure(lambda stored: tf.gather(stored, slots), self._stored)
        return Batch(**leaves, weight=weight_of(leaves["acted"]))  # steps of a reset weigh nothing

    def ranges(self) -> dict[str, Range]:
        return {**super().ranges(), "added": COUNT}  # a checkpoint with any other number is refused


def _leaves(step: Step) -> dict[str, Nest]:
    return attrs.asdict(step, recurse=False)


def _write(stored: tf.Variable, slots: Tensor, leaf: Tensor) -> None:
    stored.scatter_update(tf.IndexedSlices(leaf, slots))
