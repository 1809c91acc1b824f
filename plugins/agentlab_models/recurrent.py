"""Recurrent models of text: stacks of LSTM or GRU layers that carry their state from window to window."""

from __future__ import annotations

import abc
from typing import Any

import attrs
import keras

from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.spec import EnvironmentSpec, array_of, choices_of
from agentlab.types import Nest, Tensor
from agentlab_models.recurrent_layers import GRU, LSTM, RecurrentLayer, RecurrentStack
from agentlab_models.symbols import num_symbols

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

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("stack", "embedding")}
        return {**super().get_config(), **parts, "num_outputs": self.head.units}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> RecurrentNetwork:
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in ("stack", "embedding")}
        return cls(**{**config, **parts})


@attrs.frozen
class _RecurrentBuilder(ModelBuilder, abc.ABC):
    """Settings of recurrent models.

    Attributes:
        units: of each layer.
        layers: how many, on top of each other.
        dropout: fraction of each layer's outputs that training leaves out of what goes up, the same units at all positions of a
            window; nothing is left out of what is carried on.
        embedding: size of learned vectors for the symbols; None for one-hot codes.
    """

    units: int = attrs.field(default=256, validator=attrs.validators.ge(1))
    layers: int = attrs.field(default=1, validator=[attrs.validators.ge(1), attrs.validators.le(MOST_LAYERS)])
    dropout: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    embedding: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))

    @abc.abstractmethod
    def layer(self, num_symbols: int | None) -> RecurrentLayer:
        """Returns one layer: of symbols, or of features where `num_symbols` is None."""

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        size = num_symbols(spec)
        embedding = keras.layers.Embedding(size, self.embedding) if self.embedding is not None else None

        # The first layer takes symbols or their embedding, the others features.
        first = self.layer(size if embedding is None else None)
        above = [self.layer(None) for _ in range(self.layers - 1)]
        stack = RecurrentStack([first, *above], choices_of(spec.action) != (), self.dropout)
        # Built before the head is made, which draws the next initial weights: a seed stands for the same ones as ever.
        window = array_of(spec.seen, "A recurrent model", spec.name).shape
        stack.build((None, *window, *([self.embedding] if embedding is not None else [])))
        name = type(self).__name__.removesuffix("Builder").lower()
        return RecurrentNetwork(stack, num_outputs, embedding, name=name)


@attrs.frozen
class LSTMBuilder(_RecurrentBuilder):
    """A stack of LSTM layers over symbols (Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735)."""

    def layer(self, num_symbols: int | None) -> RecurrentLayer:
        return LSTM(self.units, num_symbols)


@attrs.frozen
class GRUBuilder(_RecurrentBuilder):
    """A stack of GRU layers over symbols (Cho et al. 2014, arXiv:1406.1078)."""

    def layer(self, num_symbols: int | None) -> RecurrentLayer:
        return GRU(self.units, num_symbols)
