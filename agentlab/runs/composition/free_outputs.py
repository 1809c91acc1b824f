"""Models with free outputs: trained numbers, the same for every observation, beside the outputs of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.spec import EnvironmentSpec, choices_of
from agentlab.types import Nest, Shape, Tensor


def with_free_outputs(
    source: ModelBuilder | keras.Model, spec: EnvironmentSpec, places: tuple[int, ...]
) -> ModelBuilder | keras.Model:
    """Returns a model, or what builds one, with free outputs at `places`, see `agentlab.trainer.Network.free_outputs`."""
    if not places:
        return source
    if isinstance(source, ModelBuilder):
        return FreeOutputsBuilder(source, places)
    return _add_free_outputs(source, choices_of(spec.action), places)


@attrs.frozen
class FreeOutputsBuilder(ModelBuilder):
    """Builds a model of fewer outputs, and adds free ones.

    Attributes:
        builder: of the model.
        places: of the free outputs among all.
    """

    builder: ModelBuilder
    places: tuple[int, ...]

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        model = self.builder.build(spec, num_outputs - len(self.places))
        return _add_free_outputs(model, choices_of(spec.action), self.places)


def _add_free_outputs(model: keras.Model, choices: Shape, places: Sequence[int]) -> keras.Model:
    kind = RecurrentFreeOutputs if isinstance(model, RecurrentModel) else FreeOutputs
    return kind(model, choices, places)


class _WithFreeOutputs(keras.Model):
    """A model whose outputs have free ones among them, which begin at 0.

    Args:
        model: of the other outputs `[B, *choices, K - F]`.
        choices: the axes of outputs before the last.
        places: F numbers below K, where the free ones are.
    """

    def __init__(self, model: keras.Model, choices: Shape, places: Sequence[int]) -> None:
        super().__init__(name=f"{model.name}_free")
        self.inner = model
        self.free = self.add_weight(shape=(*choices, len(places)), initializer="zeros", dtype="float32", name="free")
        self._places = np.asarray(places)

    def build(self, input_shape: Any) -> None:
        """Nothing: the inner model builds itself when it is called."""

    def _merge(self, outputs: Tensor) -> Tensor:
        """Returns outputs `[..., *choices, K - F]` with the free ones among them, `[..., *choices, K]`."""
        free = tf.convert_to_tensor(self.free)
        repeated = free + tf.zeros_like(outputs[..., :1])  # in every row; their number may not be known yet
        places = [place for place in range(outputs.shape[-1] + free.shape[-1]) if place not in self._places]
        order = np.argsort([*places, *self._places])
        return tf.gather(tf.concat([outputs, repeated], axis=-1), order, axis=-1)


class FreeOutputs(_WithFreeOutputs):
    """A model without a state, with free outputs."""

    def call(self, observation: Nest, training: bool = False) -> Tensor:
        """Returns the outputs `[B, *choices, K]` for observations `[B, *O]`."""
        return self._merge(self.inner(observation, training=training))


class RecurrentFreeOutputs(_WithFreeOutputs, RecurrentModel):
    """A model that carries a state, with free outputs."""

    def initial_state(self, batch_size: int) -> Nest:
        return self.inner.initial_state(batch_size)

    def state_ranges(self) -> Any:
        return self.inner.state_ranges()

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        outputs, state = self.inner(observation, state, training=training)
        return self._merge(outputs), state

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        outputs, state = self.inner.unroll(observation, state, begun, training)
        return self._merge(outputs), state
