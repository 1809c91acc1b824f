"""A small causal transformer. Its recurrent state is a cache of the keys and values of the last characters, or steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab.algorithms.minibatches import merge_time
from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.spec import EnvironmentSpec, choices_of
from agentlab.system.ranges import COUNT, FINITE
from agentlab.types import Nest, Tensor
from agentlab_models.features import feature_layers
from agentlab_models.styles import build_chain, restored, serialized
from agentlab_models.symbols import num_symbols, shows_symbols

MOST_LAYERS = 100
WAVELENGTH = 10_000.0  # of the slowest rotation, as published
SPREAD = 0.02  # standard deviation of initial weights, as in GPT-2


def rotated(vectors: Tensor, places: Tensor) -> Tensor:
    """Returns `vectors` `[..., N, D]` turned by angles that grow with their `places` `[N]`, so that products tell distances.

    Rotary position embedding (Su et al. 2021, arXiv:2104.09864), the halves of a vector being the two axes of each turn.
    """
    half = vectors.shape[-1] // 2
    speeds = WAVELENGTH ** (-tf.range(half, dtype=tf.float32) / half)
    angles = tf.cast(places, tf.float32)[:, tf.newaxis] * speeds
    cosine, sine = tf.cos(angles), tf.sin(angles)
    first, second = vectors[..., :half], vectors[..., half:]
    return tf.concat([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


@keras.saving.register_keras_serializable(package="agentlab_text")
class CachedAttention(keras.layers.Layer):
    """Attention of each position to itself and the `context` positions before it; earlier calls' positions are kept as state.

    Whatever the number of positions in a call, each position sees the same ones: calls of one position give the numbers of a
    call of many.

    Args:
        heads: how many.
        units: width of the vectors, a multiple of twice the heads.
        context: C, positions before its own that a position sees.
        output_spread: standard deviation of the output's initial weights.
    """

    def __init__(self, heads: int, units: int, context: int, output_spread: float, **options: Any) -> None:
        super().__init__(**options)
        self._heads = heads
        self._size = units // heads
        self._context = context
        self._output_spread = output_spread
        self.inward = _dense(3 * units, SPREAD, "inward", self.dtype_policy)
        self.outward = _dense(units, output_spread, "outward", self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights for vectors `[B, T, units]`."""
        self.inward.build(input_shape)
        self.outward.build(input_shape)

    def call(self, inputs: Tensor, cache: Nest, seen: Tensor, begun: Tensor | None = None) -> tuple[Tensor, Nest]:
        """Returns outputs `[B, T, units]` and the cache afterwards.

        Args:
            inputs: `[B, T, units]`.
            cache: keys and values of the C positions before, `[B, 2, heads, C, units / heads]`.
            seen: `[B]` int64, how many positions there were before. Where it is known to be none as the graph is made, the
                cache is not attended to.
            begun: `[B, T]` bool, where an episode begins, which sees nothing from before it; None if none does.
        """
        batch, length = tf.shape(inputs)[0], inputs.shape[1]
        past = 0 if _is_zero(seen) else self._context

        # Queries [B, heads, T, size]; keys and values [B, 2, heads, T, size].
        parts = tf.reshape(self.inward(inputs), [batch, length, 3, self._heads, self._size])
        queries, fresh = tf.transpose(parts[:, :, 0], [0, 2, 1, 3]), tf.transpose(parts[:, :, 1:], [0, 2, 3, 1, 4])
        whole = tf.concat([cache, fresh], axis=3) if past else fresh  # [B, 2, heads, P + T, size], P of the cache

        # Positions within the cache and the new steps, [P + T], rotate queries and keys alike.
        places = tf.range(past + length)
        keys = rotated(whole[:, 0], places)

        # [B, heads, T, P + T] attention weights; what is not visible weighs nothing.
        scores = tf.matmul(rotated(queries, places[past:]), keys, transpose_b=True) / math.sqrt(self._size)
        visible = self._visible(places, past, seen)
        episodes = None if begun is None else _episodes(begun, past)
        if episodes is not None:
            visible &= tf.equal(episodes[:, past:, None], episodes[:, None, :])[:, None]
        weights = tf.nn.softmax(tf.where(visible, scores, -math.inf))

        # [B, T, heads * size] mixed values, projected to [B, T, units].
        mixed = tf.transpose(tf.matmul(weights, whole[:, 1]), [0, 2, 1, 3])
        outputs = self.outward(tf.reshape(mixed, [batch, length, self._heads * self._size]))
        return outputs, self._cached(whole, episodes)

    def _visible(self, places: Tensor, past: int, seen: Tensor) -> Tensor:
        """Returns which of P + T keys each of T queries sees, `[B, 1, T, P + T]` bool; `[1, 1, T, T]` where P is 0."""
        distances = places[past:, tf.newaxis] - places
        near = ((distances >= 0) & (distances <= self._context))[tf.newaxis, tf.newaxis]
        if not past:
            return near
        filled = tf.cast(places, tf.int64) >= past - seen[:, tf.newaxis]
        return near & filled[:, tf.newaxis, tf.newaxis, :]

    def _cached(self, whole: Tensor, episodes: Tensor | None) -> Tensor:
        """Returns the last C of keys and values `[B, 2, heads, P + T, size]`, with zeros for those of ended episodes."""
        if episodes is not None:
            present = tf.equal(episodes, episodes[:, -1:])
            whole = tf.where(present[:, None, None, :, None], whole, tf.zeros([], whole.dtype))
        missing = max(0, self._context - whole.shape[3])
        padded = tf.pad(whole, [[0, 0], [0, 0], [0, 0], [missing, 0], [0, 0]]) if missing else whole
        return padded[:, :, :, -self._context :]

    def get_config(self) -> dict[str, Any]:
        sizes = {"heads": self._heads, "units": self._heads * self._size, "context": self._context}
        return {**super().get_config(), **sizes, "output_spread": self._output_spread}


@keras.saving.register_keras_serializable(package="agentlab_text")
class Block(keras.layers.Layer):
    """Attention, then a perceptron, each on normalized inputs and added to them (Radford et al. 2019)."""

    def __init__(self, heads: int, units: int, context: int, layers: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self._sizes = {"heads": heads, "units": units, "context": context, "layers": layers}
        spread = SPREAD / math.sqrt(2 * layers)  # so that the sum over all layers keeps its size
        dtype = self.dtype_policy

        # Normalise first, then add: attention and perceptron both start from a normalised input (pre-norm).
        self.before_attention = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype)
        self.attention = CachedAttention(heads, units, context, spread, dtype=dtype)
        self.before_perceptron = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype)
        self.wide = _dense(4 * units, SPREAD, "wide", dtype)
        self.narrow = _dense(units, spread, "narrow", dtype)
        self.dropout = keras.layers.Dropout(dropout, dtype=dtype)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights for vectors `[B, T, units]`."""
        for layer in (self.before_attention, self.attention, self.before_perceptron, self.wide):
            layer.build(input_shape)
        self.narrow.build((*input_shape[:-1], self.wide.units))

    def call(
        self, inputs: Tensor, cache: Nest, seen: Tensor, training: bool = False, begun: Tensor | None = None
    ) -> tuple[Tensor, Nest]:
        attended, cache = self.attention(self.before_attention(inputs), cache, seen, begun)
        inputs = inputs + self.dropout(attended, training=training)
        narrowed = self.narrow(tf.nn.gelu(self.wide(self.before_perceptron(inputs)), approximate=True))
        return inputs + self.dropout(narrowed, training=training), cache

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._sizes, "dropout": self.dropout.rate}


@keras.saving.register_keras_serializable(package="agentlab_text")
class Transformer(RecurrentModel):
    """Outputs by blocks of attention; the state is each block's cache and the number of positions so far.

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
        self._cache_shape = (2, builder.heads, context, builder.units // builder.heads)
        dtype = self.dtype_policy

        # What is observed becomes vectors, which pass all blocks and become outputs.
        self.encoder = list(encoder)
        self.dropout = keras.layers.Dropout(builder.dropout, dtype=dtype)
        sizes = (builder.heads, builder.units, context, builder.layers)
        self.blocks = [Block(*sizes, builder.dropout, dtype=dtype) for _ in range(builder.layers)]
        self.normalization = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype)
        self.head = _dense(num_outputs, SPREAD, "head", dtype)

    def build(self, input_shape: Any) -> None:
        """Makes the weights for windows `[B, T]` of symbols, or for other observations `[B, *O]`."""
        build_chain(self.encoder, input_shape)
        vectors = (None, None, self._builder.units)
        for layer in (*self.blocks, self.normalization, self.head):
            layer.build(vectors)

    def initial_state(self, batch_size: int) -> Nest:
        caches = tuple(tf.zeros([batch_size, *self._cache_shape]) for _ in self.blocks)
        return caches, tf.zeros([batch_size], tf.int64)

    def state_ranges(self) -> Nest:
        return tuple(FINITE for _ in self.blocks), COUNT

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
        caches, seen = state
        outputs, new_caches = self.dropout(vectors, training=training), []

        # Each block reads and extends the cache of its own.
        for block, cache in zip(self.blocks, caches, strict=True):
            outputs, cache = block(outputs, cache, seen, training=training, begun=begun)
            new_caches.append(cache)
        return outputs, (tuple(new_caches), _seen_after(seen, vectors.shape[1], begun))

    def get_config(self) -> dict[str, Any]:
        sizes = {"num_outputs": self.head.units, "every_position": self._every_position}
        return {**super().get_config(), "builder": attrs.asdict(self._builder), "encoder": serialized(self.encoder), **sizes}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Transformer:
        encoder = restored(config["encoder"], custom_objects)
        return cls(**{**config, "builder": GPT(**config["builder"]), "encoder": encoder})


def _is_zero(counts: Tensor) -> bool:
    """Returns whether all are known to be 0 before anything runs."""
    known = tf.get_static_value(counts)
    return known is not None and not np.any(known)


def _episodes(begun: Tensor, past: int) -> Tensor:
    """Returns the number of the episode, 0 for the one under way, of each of P + T positions, `[B, P + T]` int32."""
    return tf.pad(tf.cumsum(tf.cast(begun, tf.int32), axis=1), [[0, 0], [past, 0]])


def _seen_after(seen: Tensor, length: int, begun: Tensor | None) -> Tensor:
    """Returns how many positions of its episode each row `[B]` has seen after `length` more; of a new one, from its begin."""
    if begun is None:
        return seen + length
    episodes = tf.cumsum(tf.cast(begun, tf.int64), axis=1)
    last = episodes[:, -1:]
    in_last = tf.reduce_sum(tf.cast(tf.equal(episodes, last), tf.int64), axis=1)
    return in_last + tf.where(last[:, 0] > 0, tf.zeros_like(seen), seen)


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


def _dense(units: int, spread: float, name: str, dtype: keras.DTypePolicy) -> keras.layers.Dense:
    normal = keras.initializers.RandomNormal(stddev=spread)
    return keras.layers.Dense(units, kernel_initializer=normal, name=name, dtype=dtype)
