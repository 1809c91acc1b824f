"""Blocks of causal attention, with the keys and values of earlier positions as their state."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agentlab.types import Nest, Tensor

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
        self.inward = dense(3 * units, SPREAD, "inward", self.dtype_policy)
        self.outward = dense(units, output_spread, "outward", self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights for vectors `[B, T, units]`."""
        self.inward.build(input_shape)
        self.outward.build(input_shape)

    def call(self, inputs: Tensor, cache: Nest, seen: Tensor, begun: Tensor | None = None) -> tuple[Tensor, Nest]:
        """Returns outputs `[B, T, units]` and the cache afterwards.

        Args:
            inputs: `[B, T, units]`.
            cache: keys and values of the C positions before, `[B, heads, C, units / heads]` each.
            seen: `[B]` int64, how many positions there were before. Where it is known to be none as the graph is made, the
                cache is not attended to.
            begun: `[B, T]` bool, where an episode begins, which sees nothing from before it; None if none does.
        """
        batch, length = tf.shape(inputs)[0], inputs.shape[1]
        past = 0 if _is_zero(seen) else self._context

        # Queries, keys and values of the new positions, [B, heads, T, size] each.
        parts = tf.reshape(self.inward(inputs), [batch, length, 3, self._heads, self._size])
        queries, *fresh = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))

        # Positions within the cache and the new steps, [P + T], rotate queries and keys alike. What is in the cache is not
        # copied beside what is new: at a step of one position that would take longer than attending to it.
        places = tf.range(past + length)
        queries = rotated(queries, places[past:])
        scores = tf.matmul(queries, rotated(fresh[0], places[past:]), transpose_b=True)
        if past:
            before = tf.matmul(queries, rotated(cache[0], places[:past]), transpose_b=True)
            scores = tf.concat([before, scores], axis=-1)

        # [B, heads, T, P + T] attention weights; what is not visible weighs nothing.
        visible = self._visible(places, past, seen)
        episodes = None if begun is None else _episodes(begun, past)
        if episodes is not None:
            visible &= tf.equal(episodes[:, past:, None], episodes[:, None, :])[:, None]
        weights = tf.nn.softmax(tf.where(visible, scores / math.sqrt(self._size), -math.inf))

        # [B, T, heads * size] mixed values, projected to [B, T, units].
        mixed = tf.matmul(weights[..., past:], fresh[1])
        if past:
            mixed += tf.matmul(weights[..., :past], cache[1])
        mixed = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, length, self._heads * self._size])
        following = tuple(self._extended(*pair, past, episodes) for pair in zip(cache, fresh, strict=True))
        return self.outward(mixed), following

    def _visible(self, places: Tensor, past: int, seen: Tensor) -> Tensor:
        """Returns which of P + T keys each of T queries sees, `[B, 1, T, P + T]` bool; `[1, 1, T, T]` where P is 0."""
        distances = places[past:, tf.newaxis] - places
        near = ((distances >= 0) & (distances <= self._context))[tf.newaxis, tf.newaxis]
        if not past:
            return near
        filled = tf.cast(places, tf.int64) >= past - seen[:, tf.newaxis]
        return near & filled[:, tf.newaxis, tf.newaxis, :]

    def _extended(self, cache: Tensor, fresh: Tensor, past: int, episodes: Tensor | None) -> Tensor:
        """Returns the last C of a cache and of new positions `[B, heads, T, size]`, with zeros for those of ended episodes."""
        last = tf.concat([cache[:, :, fresh.shape[2] :], fresh], axis=2) if past else fresh
        last = last[:, :, -self._context :]
        if episodes is not None:
            present = tf.equal(episodes, episodes[:, -1:])[:, -last.shape[2] :]
            last = tf.where(present[:, None, :, None], last, tf.zeros([], last.dtype))
        missing = self._context - last.shape[2]
        return tf.pad(last, [[0, 0], [0, 0], [missing, 0], [0, 0]]) if missing else last

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
        self.wide = dense(4 * units, SPREAD, "wide", dtype)
        self.narrow = dense(units, spread, "narrow", dtype)
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


def _is_zero(counts: Tensor) -> bool:
    """Returns whether all are known to be 0 before anything runs."""
    known = tf.get_static_value(counts)
    return known is not None and not np.any(known)


def _episodes(begun: Tensor, past: int) -> Tensor:
    """Returns the number of the episode, 0 for the one under way, of each of P + T positions, `[B, P + T]` int32."""
    return tf.pad(tf.cumsum(tf.cast(begun, tf.int32), axis=1), [[0, 0], [past, 0]])


def dense(units: int, spread: float, name: str, dtype: keras.DTypePolicy) -> keras.layers.Dense:
    """Returns a layer of this name whose weights begin normally distributed, with `spread` as their standard deviation."""
    normal = keras.initializers.RandomNormal(stddev=spread)
    return keras.layers.Dense(units, kernel_initializer=normal, name=name, dtype=dtype)
