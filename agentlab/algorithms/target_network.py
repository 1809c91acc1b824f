"""The target network: a model's weights of some time ago, by which it is told what follows is worth."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from agentlab.tensors.parameters import flatten, is_small, unflatten


class TargetNetwork:
    """A second set of a model's trainable weights, which moves to the model's from time to time (Mnih et al. 2015).

    A small one is kept as one vector, so that moving it is one operation; a large one weight by weight, as cutting it into
    its weights would copy it whenever it is asked.

    Args:
        model: built; the target network begins with its weights.
        period: updates from one move to the next.
        rate: how far it then moves: 1, a copy; less, Polyak averaging.
    """

    def __init__(self, model: keras.Model, period: int, rate: float) -> None:
        self.model = model
        self.period = period
        self.rate = rate
        self._is_small = is_small(model.trainable_variables)
        self._updates = tf.Variable(0, dtype=tf.int64, name="target_updates")
        self._held = [tf.Variable(weight, trainable=False, name="target") for weight in self._newest()]

    def output(self, observation: Any) -> Any:
        """Returns its outputs `[N, K]` for observations `[N, *O]`."""
        weights = self.model.trainable_variables
        values = unflatten(self._held[0], weights) if self._is_small else self._held
        with keras.StatelessScope(list(zip(weights, values, strict=True))):
            return self.model(observation, training=False)

    def follow(self) -> None:
        """Counts an update of the model, and moves if this one is due; traceable."""
        self._updates.assign_add(1)
        if self.period == 1:
            self._move()
            return
        due = tf.equal(self._updates.read_value() % self.period, 0)
        if self._is_small:  # then the move costs less than a branch, with which a host step's graph leaves the calling thread
            (held,), (moved,) = self._held, self._moved()
            held.assign(tf.where(due, moved, held))
        else:
            tf.cond(due, self._move, lambda: 0)

    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables by name."""
        return {f"target/{index:03d}": held for index, held in enumerate(self._held)} | {"target_updates": self._updates}

    def _move(self) -> int:
        """Moves the weights; returns 0, since branches of a graph have to return something."""
        for held, moved in zip(self._held, self._moved(), strict=True):
            held.assign(moved)
        return 0

    def _moved(self) -> list[Any]:
        if self.rate == 1.0:
            return self._newest()
        return [held + self.rate * (newest - held) for held, newest in zip(self._held, self._newest(), strict=True)]

    def _newest(self) -> list[Any]:
        weights = [variable.value for variable in self.model.trainable_variables]
        return [flatten(weights)] if self._is_small else [tf.convert_to_tensor(weight) for weight in weights]
