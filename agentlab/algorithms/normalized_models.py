"""Models that take observations as they are, made of models that see them normalised."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from agentlab.model import RecurrentModel
from agentlab.types import Nest, Tensor

See = Callable[[Nest], Nest]


class NormalizedModel(keras.Model):
    """A model that normalises its input for another one.

    Its variables are those of the other model: the statistics belong to the agent, whose networks share them.

    Args:
        inner: sees normalised observations; built.
        see: normalises them.
    """

    def __init__(self, inner: keras.Model, see: See) -> None:
        super().__init__(name=inner.name, autocast=False)  # a float64 observation is rounded once it is normalised
        self.inner = inner
        self._see = see
        self.built = True

    def call(self, observation: Nest, training: bool = False) -> Tensor:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`."""
        return self.inner(self._see(observation), training=training)


class NormalizedRecurrentModel(RecurrentModel):
    """A model with a state that normalises its input for another one; as `NormalizedModel`.

    Args:
        inner: sees normalised observations; built.
        see: normalises them.
    """

    def __init__(self, inner: RecurrentModel, see: See) -> None:
        super().__init__(name=inner.name, autocast=False)
        self.inner = inner
        self._see = see
        self.built = True

    def initial_state(self, batch_size: int) -> Nest:
        return self.inner.initial_state(batch_size)

    def state_ranges(self) -> Nest:
        return self.inner.state_ranges()

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        return self.inner(self._see(observation), state, training=training)

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        return self.inner.unroll(self._see(observation), state, begun, training)


@functools.singledispatch
def normalized(model: keras.Model, see: See) -> keras.Model:
    """Returns a model that normalises its input by `see` for `model`; it carries a state if that one does."""
    return NormalizedModel(model, see)


normalized.register(RecurrentModel, NormalizedRecurrentModel)
