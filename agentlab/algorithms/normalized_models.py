"""Models that take observations as they are, made of models that see them normalised; and the same as Keras's own layers."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from agentlab.model import RecurrentModel
from agentlab.spec import EnvironmentSpec
from agentlab.types import Nest, Tensor

See = Callable[[Nest], Nest]
Layered = Callable[[keras.KerasTensor], keras.KerasTensor]


class NormalizedModel(keras.Model):
    """A model that normalises its input for another one.

    Its variables are those of the other model: the statistics belong to the agent, whose networks share them.

    Args:
        inner: sees normalised observations; built.
        see: normalises them.
        layered: normalises a symbolic observation that is one array, by layers of Keras's own.
    """

    def __init__(self, inner: keras.Model, see: See, layered: Layered) -> None:
        super().__init__(name=inner.name, autocast=False)  # a float64 observation is rounded once it is normalised
        self.inner = inner
        self._see, self._layered = see, layered
        self.built = True

    def as_layers(self, spec: EnvironmentSpec) -> keras.Model:
        """Returns a model that does the same by layers of Keras's own and the inner model, for observations of one array."""
        space = spec.seen
        if isinstance(space, dict):
            return self
        observation = keras.Input(space.shape, dtype=space.dtype, name="observation")
        return keras.Model(observation, self.inner(self._layered(observation)))

    def call(self, observation: Nest, training: bool = False) -> Tensor:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`."""
        return self.inner(self._see(observation), training=training)


class NormalizedRecurrentModel(RecurrentModel):
    """A model with a state that normalises its input for another one; as `NormalizedModel`.

    Args:
        inner: sees normalised observations; built.
        see: normalises them.
        layered: not used: Keras has no models that carry a state from call to call in this way.
    """

    def __init__(self, inner: RecurrentModel, see: See, layered: Layered) -> None:
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
def normalized(model: keras.Model, see: See, layered: Layered) -> keras.Model:
    """Returns a model that normalises its input by `see` for `model`; it carries a state if that one does."""
    return NormalizedModel(model, see, layered)


normalized.register(RecurrentModel, NormalizedRecurrentModel)


@functools.singledispatch
def as_layers(model: keras.Model, spec: EnvironmentSpec) -> keras.Model:  # noqa: ARG001 - of normalised models
    """Returns a model whose normalisation of observations, if it has any, is of Keras's own layers; else the model itself."""
    return model


as_layers.register(NormalizedModel, NormalizedModel.as_layers)
