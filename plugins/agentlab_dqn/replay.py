"""Uniform replay in a ring of tf.Variables."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.memory import Memory
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import positive
from agentlab.types import Transition


@attrs.define(slots=False, eq=False)
class UniformReplay(Memory):
    """Keeps the last `capacity` transitions and draws batches from them uniformly, with replacement (Lin 1992).

    Attributes:
        capacity: transitions kept; the oldest is overwritten.
        batch_size: N, transitions in a batch.
    """

    capacity: int = positive(10_000)
    batch_size: int = positive(128)

    def build(self, spec: EnvironmentSpec) -> None:
        def ring(shape: tuple[int, ...], dtype: str) -> tf.Variable:
            return tf.Variable(tf.zeros([self.capacity, *shape], dtype), trainable=False)

        observed, acted, target = spec.observation, spec.action, spec.target
        self._storage = Transition(
            observation=ring(observed.shape, observed.dtype),
            action=ring(acted.shape, acted.dtype),
            reward=ring((), "float32"),
            discount=ring((), "float32"),
            next_observation=ring(observed.shape, observed.dtype),
            target=() if target is None else ring(target.shape, target.dtype),
        )
        self._added = tf.Variable(0, dtype=tf.int64, name="added")

    def add(self, transition: Transition) -> None:
        rows = tf.shape(transition.reward, out_type=tf.int64)[0]
        kept = tf.range(tf.maximum(rows - self.capacity, 0), rows)  # of more rows than fit, the last
        slots = (self._added.read_value() + kept) % self.capacity

        def put(ring: tf.Variable, values: Any) -> None:
            ring.scatter_update(tf.IndexedSlices(tf.gather(values, kept), slots))

        tf.nest.map_structure(put, self._storage, transition)
        self._added.assign_add(rows)

    def sample(self, seed: Any) -> Transition:
        size = tf.minimum(self._added.read_value(), self.capacity)
        slots = seeds.integers(seed, [self.batch_size], size)
        return tf.nest.map_structure(lambda ring: tf.gather(ring, slots), self._storage)

    def variables(self) -> dict[str, Any]:
        rings = {name: ring for name, ring in attrs.asdict(self._storage, recurse=False).items() if not isinstance(ring, tuple)}
        return {**rings, "added": self._added}
