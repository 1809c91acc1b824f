"""Rollout: everything since the last update, in order, as policy gradients learn from."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Layout, Memory, weight_of
from agentlab.system.free_memory import check_free
from agentlab.system.ranges import COUNT, Range, prefixed
from agentlab.types import Batch, Nest, Seed, Step, Tensor
from agentlab_memories.slots import put, read, rings


@attrs.define(slots=False, eq=False)
class Rollout(Memory):
    """Stores the last T steps of every environment and returns all of them, `[B, T, ...]`; the trainer says what T is.

    Rows that are no transition stay where they are and weigh nothing, so that all environments have T steps.
    """

    def build(self, layout: Layout) -> None:
        request = layout.request
        if request.order != "all" or request.num_steps != 1:
            raise errors.UsageError(
                "A rollout hands out everything since the last update, in steps of one; the trainer asks for "
                f"{'draws' if request.order == 'any' else f'steps of {request.num_steps}'}. Set memory.name=replay."
            )

        # Slot = turn * B + environment, for T turns of B environments.
        self._length, self._rows = request.length or 1, layout.num_environments
        capacity = self._length * self._rows
        what = f"A rollout of {self._length:,} steps of {self._rows:,} environments"
        check_free(capacity * layout.num_bytes(), what, "num_environments")
        self._stored = rings(capacity, attrs.asdict(layout.step_signature(), recurse=False))
        self._added = tf.Variable(0, dtype=tf.int64)
        self._step_ranges = layout.step_ranges()

    def add(self, step: Step, row: Tensor) -> None:
        # [N] rows: turns on end of B rows each, of which the last T turns are stored.
        count = tf.shape(row, out_type=tf.int64)[0]
        last = tf.range(tf.maximum(count - self._length * self._rows, 0), count)
        leaves, row = tf.nest.map_structure(lambda leaf: tf.gather(leaf, last), (attrs.asdict(step, recurse=False), row))
        turn = (self._added.read_value() + last) // self._rows % self._length
        put(self._stored, turn * self._rows + row, leaves)
        self._added.assign_add(count)

    def ranges(self) -> dict[str, Range]:
        return {**super().ranges(), **prefixed("stored/", self._step_ranges), "added": COUNT}

    def cut(self, row: Tensor) -> None:
        newest = (self._added.read_value() // self._rows - 1) % self._length
        put(self._stored["ended"], newest * self._rows + row, tf.ones_like(row, tf.bool))

    def sample(self, seed: Seed) -> Batch:
        # [T] turns, the oldest first; then [B, T] slots.
        oldest = self._added.read_value() // self._rows
        turns = (oldest + tf.range(self._length, dtype=tf.int64)) % self._length
        slots = turns[None, :] * self._rows + tf.range(self._rows, dtype=tf.int64)[:, None]
        leaves: dict[str, Nest] = read(self._stored, slots)
        return Batch(**leaves, weight=weight_of(leaves["acted"]))
