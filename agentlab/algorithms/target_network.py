"""The target network: an earlier copy of a model, which values what follows."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from agentlab.model import as_network
from agentlab.system.ranges import COUNT, Range
from agentlab.tensors.parameters import flatten, is_small, unflatten
from agentlab.types import Nest, Tensor


class TargetNetwork:
    """A copy of a model's variables that periodically moves towards them (Mnih et al. 2015).

    It holds whatever decides an output: trainable and frozen weights, statistics such as those of batch normalization, and the
    state of random generators. Variables in floating point move by `rate`, the statistics like the weights that they belong to;
    whole numbers are copied. Asking it changes neither itself nor the model.

    Float32 variables, if they are small together, are held as one vector, so that moving them is one operation; large ones one
    by one, as cutting a vector into its variables would copy it whenever the network is asked.

    Args:
        model: built; the target network begins as a copy.
        period: updates from one move to the next.
        rate: how far it then moves: 1, a copy; less, Polyak averaging.
    """

    def __init__(self, model: keras.Model, period: int, rate: float) -> None:
        self.model = model
        self._network = as_network(model)
        self.period = period
        self.rate = rate

        # One vector of all float32 variables if they are small; the others one by one.
        self._variables = _by_kind(model.variables)
        self._vector = [variable for variable in self._variables if variable.dtype == "float32"]
        if not is_small(self._vector):
            self._vector = []
        self._updates = tf.Variable(0, dtype=tf.int64, name="target_updates")
        self._held = [tf.Variable(value, trainable=False, name="target") for value in self._newest()]

    def output(self, observation: Nest) -> Tensor:
        """Returns its outputs `[N, K]` for observations `[N, *O]`; for a model that carries a state, use `unroll`."""
        return self._network.infer(observation, variables=self.values())[0]

    def unroll(self, observation: Nest, state: Nest, begun: Tensor) -> Tensor:
        """Returns its outputs `[N, T, ..., K]` for sequences; see `agentlab.model.Network.unroll`."""
        return self._network.unroll(observation, state, begun, variables=self.values())[0]

    def unroll_onward(self, observation: Nest, next_observation: Nest, state: Nest, begun: Tensor) -> tuple[Tensor, Tensor]:
        """Returns its outputs for sequences and for what steps led to; see `agentlab.model.Network.unroll_onward`."""
        return self._network.unroll_onward(observation, next_observation, state, begun, self.values())

    def values(self) -> list[tuple[keras.Variable, Tensor]]:
        """Returns the model's variables, each with the value that it has here."""
        held: list[Tensor] = list(self._held)
        if self._vector:
            held = [*unflatten(held[0], self._vector), *held[1:]]
        return list(zip(self._variables, held, strict=True))

    def follow(self) -> None:
        """Counts an update of the model, and moves if this one is due; traceable."""
        self._updates.assign_add(1)
        if self.period == 1:
            self._move()
            return

        # [] bool; a move that isn't due leaves everything as it is.
        due = tf.equal(self._updates.read_value() % self.period, 0)
        if self._vector:  # then the move costs less than a branch, with which a host step's graph leaves the calling thread
            for held, moved in zip(self._held, self._moved(), strict=True):
                held.assign(tf.where(due, moved, held))
        else:
            tf.cond(due, self._move, lambda: 0)

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables; see `agentlab.memory.Memory.ranges`."""
        return {"updates": COUNT}

    def _move(self) -> int:
        """Moves every variable; returns 0, since branches of a graph have to return something."""
        for held, moved in zip(self._held, self._moved(), strict=True):
            held.assign(moved)
        return 0

    def _moved(self) -> list[Tensor]:
        return [self._between(held, newest) for held, newest in zip(self._held, self._newest(), strict=True)]

    def _between(self, held: Tensor, newest: Tensor) -> Tensor:
        averaged = self.rate != 1.0 and newest.dtype.is_floating
        return held + tf.cast(self.rate, newest.dtype) * (newest - held) if averaged else newest

    def _newest(self) -> list[Tensor]:
        """Returns the model's values as they are stored: the vector if there is one, then the variables outside it."""
        values = [tf.convert_to_tensor(variable.value) for variable in self._variables]
        count = len(self._vector)
        return [flatten(values[:count]), *values[count:]] if count else values


def _by_kind(variables: Sequence[keras.Variable]) -> list[keras.Variable]:
    """Returns the float32 variables, trainable ones first, then the others."""
    return sorted(variables, key=lambda variable: (variable.dtype != "float32", not variable.trainable))
