"""A memory keeps transitions in tf.Variables and hands out batches."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Memory
from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import COUNT, Range
from agentlab.types import Horizon, Transition


@attrs.define(slots=False, eq=False)
class MyPlugin(Memory):
    """Keeps the last `size` transitions and hands out all of them; while there are fewer, some of them twice.

    Attributes:
        size: N, transitions kept, and in a batch.
    """

    size: int = attrs.field(default=64, validator=attrs.validators.ge(1))

    def build(self, spec: EnvironmentSpec, num_environments: int, horizon: Horizon) -> None:
        if horizon.num_steps != 1:
            raise errors.UsageError(
                f"This memory hands out single steps; the trainer learns from {horizon.num_steps} in one. "
                "Set trainer.num_steps=1."
            )

        def ring(shape: tuple[int, ...], dtype: str) -> tf.Variable:
            return tf.Variable(tf.zeros([self.size, *shape], dtype), trainable=False)

        observed, acted, target = spec.observation, spec.action, spec.target
        self._kept = Transition(
            observation=ring(observed.shape, observed.dtype),
            action=ring(acted.shape, acted.dtype),
            reward=ring((), "float32"),
            discount=ring((), "float32"),
            next_observation=ring(observed.shape, observed.dtype),
            target=() if target is None else ring(target.shape, target.dtype),
        )
        self._added = tf.Variable(0, dtype=tf.int64, trainable=False)

    def add(self, transition: Transition, ended: Any, row: Any) -> None:
        rows = tf.shape(transition.reward, out_type=tf.int64)[0]
        newest = tf.range(tf.maximum(rows - self.size, 0), rows)  # of more rows than fit, the last
        slots = (self._added.read_value() + newest) % self.size

        def put(ring: tf.Variable, values: Any) -> None:
            ring.scatter_update(tf.IndexedSlices(tf.gather(values, newest), slots))

        tf.nest.map_structure(put, self._kept, transition)
        self._added.assign_add(rows)

    def sample(self, seed: Any) -> Transition:
        known = tf.minimum(self._added.read_value(), self.size)
        slots = tf.range(self.size, dtype=tf.int64) % known
        return tf.nest.map_structure(lambda ring: tf.gather(ring, slots), self._kept)

    def variables(self) -> dict[str, Any]:
        rings = attrs.asdict(self._kept, recurse=False)
        return {"added": self._added, **{name: ring for name, ring in rings.items() if not isinstance(ring, tuple)}}

    def ranges(self) -> dict[str, Range]:
        return {"added": COUNT}  # a checkpoint with other numbers is refused
