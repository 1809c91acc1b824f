"""Recurrent models: stacks of LSTM or GRU layers that carry their state from window to window of text, or from step to step."""

from __future__ import annotations

import abc
from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.spec import EnvironmentSpec, array_of, choices_of, describe
from agentlab.tensors import keras_names
from agentlab.types import Nest, Tensor
from agentlab_models.features import feature_layers
from agentlab_models.recurrence.layers import GRU, LSTM, RecurrentLayer, RecurrentStack
from agentlab_models.recurrence.steps import StepNetwork
from agentlab_models.symbols import num_symbols, shows_symbols

MOST_LAYERS = 100


@keras.saving.register_keras_serializable(package="agentlab_text")
class RecurrentNetwork(RecurrentModel):
    """Logits of symbols by recurrent layers.

    Args:
        stack: the recurrent layers.
        num_outputs: K.
        embedding: turns symbols into vectors; None where the first layer takes symbols, as one-hot codes.
        options: as of any Keras model.
    """

    def __init__(
        self, stack: RecurrentStack, num_outputs: int, embedding: keras.layers.Embedding | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.embedding = embedding
        self.stack = stack
        self.head = keras.layers.Dense(num_outputs, name="head", dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes all weights for windows `[B, T]`; a call on windows of one symbol would go around the stack's own."""
        if self.embedding is not None:
            if not self.embedding.built:  # Keras restores layers built
                self.embedding.build(input_shape)
            input_shape = (*input_shape, self.embedding.output_dim)
        if not self.stack.built:
            self.stack.build(input_shape)
        self.head.build((None, self.stack.layers[-1].units))

    def initial_state(self, batch_size: int) -> Nest:
        return self.stack.zero_state(batch_size)

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        inputs = self.embedding(observation) if self.embedding is not None else observation
        if observation.shape[1] == 1:  # a single position needs no loop through time
            outputs, state = self.stack.step(inputs[:, 0], state, training)
            outputs = outputs[:, None] if self.stack.return_sequences else outputs
        else:
            outputs, state = self.stack(inputs, state, training=training)
        return self.head(outputs), state

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        # [T * W, N] positions of all windows; an episode begins with the first of a window.
        rows, length, window = observation.shape
        inputs = tf.transpose(tf.reshape(observation, [rows, length * window]))
        first = tf.pad(begun[..., None], [[0, 0], [0, 0], [0, window - 1]])
        keep = tf.cast(~tf.transpose(tf.reshape(first, [rows, length * window])), self.compute_dtype)[..., None]
        inputs = self.embedding(inputs) if self.embedding is not None else inputs
        outputs, state = self.stack.scan(inputs, state, True, training, keep)

        # [N, T, W, K] outputs of all positions, or [N, T, K] of the last one of each window.
        outputs = tf.reshape(tf.transpose(outputs, [1, 0, 2]), [rows, length, window, outputs.shape[-1]])
        return self.head(outputs if self.stack.return_sequences else outputs[:, :, -1]), state

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("stack", "embedding")}
        return {**super().get_config(), **parts, "num_outputs": self.head.units}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> RecurrentNetwork:
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in ("stack", "embedding")}
        return cls(**{**config, **parts})


@attrs.frozen
class _RecurrentBuilder(ModelBuilder, abc.ABC):
    """Settings of recurrent models. What is shown are windows of symbols, or any other observation, a step at a time.

    Attributes:
        units: of each layer.
        layers: how many, on top of each other.
        dropout: fraction of each layer's outputs that training leaves out of what goes up, the same units at all positions of a
            window; nothing is left out of what is carried on.
        embedding: size of learned vectors for symbols; None for one-hot codes.
        hidden_units: units of dense layers between other observations and the recurrent layers.
        activation: of those dense layers, by Keras's name.
    """

    units: int = attrs.field(default=256, validator=attrs.validators.ge(1))
    layers: int = attrs.field(default=1, validator=[attrs.validators.ge(1), attrs.validators.le(MOST_LAYERS)])
    dropout: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    embedding: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    hidden_units: tuple[int, ...] = attrs.field(default=(), validator=attrs.validators.deep_iterable(attrs.validators.ge(1)))
    activation: str = "tanh"

    @abc.abstractmethod
    def layer(self, num_symbols: int | None) -> RecurrentLayer:
        """Returns one layer: of symbols, or of features where `num_symbols` is None."""

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        name = type(self).__name__.removesuffix("Builder").lower()
        build = self._build_for_symbols if shows_symbols(spec) else self._build_for_steps
        return build(spec, num_outputs, name)

    def _build_for_symbols(self, spec: EnvironmentSpec, num_outputs: int, name: str) -> keras.Model:
        if self.hidden_units:
            raise errors.UsageError(
                f"model.hidden_units={list(self.hidden_units)} is for observations that are not symbols; environment "
                f"{spec.name!r} shows a {describe(spec.seen)}. Leave it out, or set model.embedding."
            )
        size = num_symbols(spec)
        embedding = keras.layers.Embedding(size, self.embedding) if self.embedding is not None else None

        # The first layer takes symbols or their embedding, the others features.
        stack = self._stack(size if embedding is None else None, every_position=choices_of(spec.action) != ())
        # Built before the head is made, which draws the next initial weights: a seed stands for the same ones as ever.
        window = array_of(spec.seen, "A recurrent model", spec.name).shape
        stack.build((None, *window, *([self.embedding] if embedding is not None else [])))
        return RecurrentNetwork(stack, num_outputs, embedding, name=name)

    def _build_for_steps(self, spec: EnvironmentSpec, num_outputs: int, name: str) -> keras.Model:
        if self.embedding is not None:
            raise errors.UsageError(
                f"model.embedding={self.embedding} is for symbols; environment {spec.name!r} shows a {describe(spec.seen)}. "
                "Leave it out, or set model.hidden_units."
            )
        activation = keras_names.activation(self.activation)
        dense = [keras.layers.Dense(units, activation=activation) for units in self.hidden_units]
        return StepNetwork([*feature_layers(spec), *dense], self._stack(None, every_position=False), num_outputs, name=name)

    def _stack(self, num_symbols: int | None, every_position: bool) -> RecurrentStack:
        above = [self.layer(None) for _ in range(self.layers - 1)]
        return RecurrentStack([self.layer(num_symbols), *above], every_position, self.dropout)


@attrs.frozen
class LSTMBuilder(_RecurrentBuilder):
    """A stack of LSTM layers over symbols or steps (Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735)."""

    def layer(self, num_symbols: int | None) -> RecurrentLayer:
        return LSTM(self.units, num_symbols)


@attrs.frozen
class GRUBuilder(_RecurrentBuilder):
    """A stack of GRU layers over symbols or steps (Cho et al. 2014, arXiv:1406.1078)."""

    def layer(self, num_symbols: int | None) -> RecurrentLayer:
        return GRU(self.units, num_symbols)
