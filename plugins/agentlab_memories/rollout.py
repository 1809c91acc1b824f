"""Rollout: everything since the last update, in order, as policy gradients learn from."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Layout, Memory
from agentlab.types import Batch, Nest, Seed, Step, Tensor
from agentlab_memories.ring import put, read, rings


@attrs.define(slots=False, eq=False)
class Rollout(Memory):
    """Stores the last T steps of every environment and hands out all of them, `[B, T, ...]`; T is what the trainer asks for."""

    def build(self, layout: Layout) -> None:
        request = layout.request
        if request.order != "all" or request.num_steps != 1:
            raise errors.UsageError(
                "A rollout hands out everything since the last update, in steps of one; the trainer asks for "
                f"{'draws' if request.order == 'any' else f'steps of {request.num_steps}'}. Set memory.name=replay."
            )
        self._length, self._rows = request.length or 1, layout.num_environments
        signature = attrs.asdict(layout.step_signature(), recurse=False)
        self._stored = rings(self._length * self._rows, signature)
        self._added = tf.Variable(0, dtype=tf.int64)

    def add(self, step: Step, row: Tensor) -> None:
        # [N] rows: turns on end of B rows each, of which the last T turns are stored.
        count = tf.shape(row, out_type=tf.int64)[0]
        last = tf.range(tf.maximum(count - self._length * self._rows, 0), count)
        leaves, row = tf.nest.map_structure(lambda leaf: tf.gather(leaf, last), (attrs.asdict(step, recurse=False), row))
        turn = (self._added.read_value() + last) // self._rows % self._length
        put(self._stored, turn * self._rows + row, leaves)
        self._added.assign_add(count)

    def sample(self, seed: Seed) -> Batch:
        # [T] turns, the oldest first; then [B, T] slots.
        oldest = self._added.read_value() // self._rows
        turns = (oldest + tf.range(self._length, dtype=tf.int64)) % self._length
        slots = turns[None, :] * self._rows + tf.range(self._rows, dtype=tf.int64)[:, None]
        leaves: dict[str, Nest] = read(self._stored, slots)
        return Batch(**leaves)
