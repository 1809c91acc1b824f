"""A small causal transformer. Its recurrent state is a cache of the keys and values of the last characters, or steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab.algorithms.minibatches import merge_time
from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.spec import EnvironmentSpec, choices_of
from agentlab.system.ranges import COUNT, FINITE
from agentlab.types import Nest, Tensor
from agentlab_models.attention import SPREAD, Block, dense, positions_of
from agentlab_models.features import feature_layers
from agentlab_models.styles import build_chain, restored, serialized
from agentlab_models.symbols import num_symbols, shows_symbols

MOST_LAYERS = 100


@keras.saving.register_keras_serializable(package="agentlab_text")
class Transformer(RecurrentModel):
    """Outputs by blocks of attention; the state is the number of positions so far and each block's cache.

    A position is a symbol of a window, or one step of an episode where observations are something else.

    Args:
        builder: its settings.
        encoder: layers from windows of symbols to vectors `[B, T, units]`, or from other observations to `[B, units]`.
        num_outputs: K.
        every_position: whether it answers at every position, `[B, T, K]`, or after the last one, `[B, K]`.

    Attributes:
        positions: of a symbol, or of a step of an episode.
    """

    positions: ClassVar[int] = 1

    def __init__(
        self,
        builder: GPT,
        encoder: Sequence[keras.layers.Layer],
        num_outputs: int,
        every_position: bool,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._builder = builder
        self._every_position = every_position

        # Keys and values of the last C positions, of each layer.
        context = builder.context * self.positions
        self._cache_shape = (builder.heads, context, builder.units // builder.heads)
        dtype = self.dtype_policy

        # What is observed becomes vectors, which pass all blocks and become outputs.
        self.encoder = list(encoder)
        self.dropout = keras.layers.Dropout(builder.dropout, dtype=dtype)
        sizes = (builder.heads, builder.units, context, builder.layers)
        self.blocks = [Block(*sizes, builder.dropout, dtype=dtype) for _ in range(builder.layers)]
        self.normalization = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype)
        self.head = dense(num_outputs, SPREAD, "head", dtype)

    def build(self, input_shape: Any) -> None:
        """Makes the weights for windows `[B, T]` of symbols, or for other observations `[B, *O]`."""
        build_chain(self.encoder, input_shape)
        vectors = (None, None, self._builder.units)
        for layer in (*self.blocks, self.normalization, self.head):
            layer.build(vectors)

    def initial_state(self, batch_size: int) -> Nest:
        empty = tf.zeros([batch_size, *self._cache_shape])
        return tf.zeros([batch_size], tf.int64), tuple((empty, empty) for _ in self.blocks)

    def state_ranges(self) -> Nest:
        return COUNT, tuple((FINITE, FINITE) for _ in self.blocks)

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        vectors = self._encoded(observation)
        vectors = vectors[:, None] if len(vectors.shape) == 2 else vectors  # a step is a sequence of one position
        outputs, state = self._attend(vectors, state, training)
        return self.head(self.normalization(outputs if self._every_position else outputs[:, -1])), state

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        vectors = self._encoded(merge_time(observation))
        window = vectors.shape[1] if len(vectors.shape) == 3 else 1
        if window > 1:  # one after the other: all at once, T W positions would attend to as many
            return super().unroll(observation, state, begun, training)

        # [N, T, units] outputs of all steps at once.
        outputs, state = self._attend(tf.reshape(vectors, [*begun.shape, self._builder.units]), state, training, begun)
        outputs = outputs[:, :, None] if self._every_position else outputs
        return self.head(self.normalization(outputs)), state

    def _encoded(self, observation: Nest) -> Tensor:
        """Returns vectors `[B, T, units]` for windows of symbols, `[B, units]` for other observations."""
        vectors = observation
        for layer in self.encoder:
            vectors = layer(vectors)
        return vectors

    def _attend(self, vectors: Tensor, state: Nest, training: bool, begun: Tensor | None = None) -> tuple[Tensor, Nest]:
        """Returns what the blocks make of vectors `[B, T, units]`, and the state after them."""
        seen, caches = state
        outputs, new_caches = self.dropout(vectors, training=training), []
        _, context, size = self._cache_shape
        positions = positions_of(seen, vectors.shape[1], context, size, begun)

        # Each block reads and extends the cache of its own.
        for block, cache in zip(self.blocks, caches, strict=True):
            outputs, cache = block(outputs, cache, positions, training=training)
            new_caches.append(cache)
        return outputs, (positions.seen, tuple(new_caches))

    def get_config(self) -> dict[str, Any]:
        sizes = {"num_outputs": self.head.units, "every_position": self._every_position}
        return {**super().get_config(), "builder": attrs.asdict(self._builder), "encoder": serialized(self.encoder), **sizes}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Transformer:
        encoder = restored(config["encoder"], custom_objects)
        return cls(**{**config, "builder": GPT(**config["builder"]), "encoder": encoder})


@attrs.frozen
class GPT(ModelBuilder):
    """A small causal transformer over symbols or steps (Vaswani et al. 2017, arXiv:1706.03762).

    Its state is a cache of keys and values.

    Attributes:
        units: width of its vectors, a multiple of twice `heads`.
        layers: how many blocks.
        heads: of attention in each.
        context: symbols, or steps, before its own that a position sees.
        dropout: fraction that training leaves out of the embedding and of what each block adds.
    """

    units: int = attrs.field(default=128, validator=attrs.validators.ge(2))
    layers: int = attrs.field(default=4, validator=[attrs.validators.ge(1), attrs.validators.le(MOST_LAYERS)])
    heads: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    context: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    dropout: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])

    def __attrs_post_init__(self) -> None:
        if self.units % (2 * self.heads):
            raise ValueError(f"'units' must be a multiple of twice 'heads': {self.units} and {self.heads}")

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        normal = keras.initializers.RandomNormal(stddev=SPREAD)
        if shows_symbols(spec):
            embedding = keras.layers.Embedding(num_symbols(spec), self.units, normal)
            return Transformer(self, [embedding], num_outputs, choices_of(spec.action) != (), name="gpt")
        encoder = [*feature_layers(spec), keras.layers.Dense(self.units, name="encoder")]
        return Transformer(self, encoder, num_outputs, False, name="gpt")
