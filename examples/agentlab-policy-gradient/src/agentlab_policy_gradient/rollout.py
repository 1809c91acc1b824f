"""A memory that hands out the last turns of the loop in order, rewards summed up to returns."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.checks.ranges import COUNT, FINITE, Range
from agentlab.checks.values import range_of
from agentlab.memory import Memory
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import positive
from agentlab.types import Horizon, Transition


def returns(reward: Any, ends: Any, discount: float) -> tuple[Any, Any]:
    """Returns the discounted sums of rewards from each turn to the next end, and the turn of that end, `[T, B]` each.

    Args:
        reward: `[T, B]` float32.
        ends: `[T, B]` bool, where nothing that follows belongs to it any more; the last turn is an end.
        discount: discount factor, 0 to 1.

    Sums over 1, 2, 4, ... turns are made of two of half the length each, so that there are log T steps instead of T.
    """
    turns = reward.shape[0]
    sums, factor = reward, tf.where(ends, 0.0, discount)
    end = tf.where(ends, tf.range(turns)[:, None], turns)
    ahead = 1
    while ahead < turns:
        sums = sums + factor * _ahead(sums, ahead, 0.0)
        factor = factor * _ahead(factor, ahead, 0.0)
        end = tf.minimum(end, _ahead(end, ahead, turns))
        ahead *= 2
    return sums, end


def _ahead(values: Any, turns: int, beyond: Any) -> Any:
    """Returns what `values` `[T, B]` are so many turns later."""
    return tf.concat([values[turns:], tf.fill([turns, values.shape[1]], tf.cast(beyond, values.dtype))], axis=0)


@attrs.define(slots=False, eq=False)
class Rollout(Memory):
    """Keeps the last turns and hands all of them out, each transition as one to its episode's end, or the rollout's.

    The reward is then the discounted sum of rewards on the way, `next_observation` where it led, and `discount` is 0 if the
    task terminated there. Rewards are discounted as the trainer says. Learn every `turns` times environments steps:
    `trainer.update_period`.

    Attributes:
        turns: T, steps of every environment.
    """

    on_policy: ClassVar[bool] = True

    turns: int = positive(128)

    def update_period(self, num_environments: int) -> int:
        return self.turns * num_environments

    def build(self, spec: EnvironmentSpec, num_environments: int, horizon: Horizon) -> None:
        if horizon.num_steps != 1:
            raise errors.UsageError(
                f"A rollout sums rewards up itself; the trainer learns from {horizon.num_steps} steps in one. "
                "Set trainer.num_steps=1."
            )
        size, self._discount = self.turns * num_environments, horizon.discount

        def ring(shape: tuple[int, ...], dtype: str) -> tf.Variable:
            return tf.Variable(tf.zeros([size, *shape], dtype), trainable=False)

        observed, acted, target = spec.observation, spec.action, spec.target
        self._size, self._rows = size, num_environments
        self._ended = ring((), "bool")
        self._kept = Transition(
            observation=ring(observed.shape, observed.dtype),
            action=ring(acted.shape, acted.dtype),
            reward=ring((), "float32"),
            discount=ring((), "float32"),
            next_observation=ring(observed.shape, observed.dtype),
            target=() if target is None else ring(target.shape, target.dtype),
        )
        self._added = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._action_range = range_of(acted)

    def add(self, transition: Transition, ended: Any, row: Any) -> None:
        rows = tf.shape(transition.reward, out_type=tf.int64)[0]
        newest = tf.range(tf.maximum(rows - self._size, 0), rows)
        slots = (self._added.read_value() + newest) % self._size

        def put(ring: tf.Variable, values: Any) -> None:
            ring.scatter_update(tf.IndexedSlices(tf.gather(values, newest), slots))

        tf.nest.map_structure(put, (self._kept, self._ended), (transition, ended))
        self._added.assign_add(rows)

    def sample(self, seed: Any) -> Transition:
        added = self._added.read_value()
        known = tf.minimum(added, self._size)
        # The oldest comes first; while there are fewer than fit, they come again and again.
        order = tf.range(self._size, dtype=tf.int64) % known
        slots = (added - known + order) % self._size
        batch = tf.nest.map_structure(lambda ring: tf.gather(ring, slots), self._kept)
        ends = tf.gather(self._ended, slots) | (order >= known - self._rows)
        sums, end = returns(self._by_turn(batch.reward), self._by_turn(ends), self._discount)
        gone = tf.reshape(tf.cast(end - tf.range(self.turns)[:, None], tf.float32), [-1])  # steps on the way before the last
        last = tf.reshape(end * self._rows + tf.range(self._rows), [-1])
        return attrs.evolve(
            batch,
            reward=tf.reshape(sums, [-1]),
            discount=tf.gather(batch.discount, last) * tf.pow(self._discount, gone),
            next_observation=tf.gather(batch.next_observation, last),
        )

    def variables(self) -> dict[str, Any]:
        rings = attrs.asdict(self._kept, recurse=False)
        stored = {name: ring for name, ring in rings.items() if not isinstance(ring, tuple)}
        return {"added": self._added, "ended": self._ended, **stored}

    def ranges(self) -> dict[str, Range]:
        return {"added": COUNT, "action": self._action_range, "reward": FINITE, "discount": Range(0, 1)}

    def _by_turn(self, values: Any) -> Any:
        return tf.reshape(values, [self.turns, self._rows])
