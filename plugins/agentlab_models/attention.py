"""Blocks of causal attention, with the keys and values of earlier positions as their state."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from agentlab.types import Nest, Tensor

WAVELENGTH = 10_000.0  # of the slowest rotation, as published
TURN = 2**32  # units of angle in a full turn: whole numbers stay exact, however long a text becomes
SPREAD = 0.02  # standard deviation of initial weights, as in GPT-2


class Positions(NamedTuple):
    """Where T new positions are, and what each of them sees: of the P before them, which a cache holds, and of themselves.

    Attributes:
        cosine: `[B, T, size / 2]`, of the angles by which queries and keys are turned; B is 1 where all rows are alike.
        sine: the same, of their sines.
        visible: `[B, 1, T, P + T]` bool, the keys that each query sees.
        present: `[B, P + T]` bool, which of the keys later positions may see; None for all.
        seen: `[B]` int64, how many positions of its episode each row has seen after these.
    """

    cosine: Tensor
    sine: Tensor
    visible: Tensor
    present: Tensor | None
    seen: Tensor


def positions_of(seen: Tensor, length: int, context: int, size: int, begun: Tensor | None = None) -> Positions:
    """Returns where `length` new positions are, T, and what they see.

    Args:
        seen: `[B]` int64, how many positions of its episode each row has seen before. P is 0 if all are known to be 0 when
            the graph is made, and `context` otherwise.
        length: T.
        context: C, positions before its own that a position sees.
        size: of a head's queries and keys, an even number.
        begun: `[B, T]` bool, where an episode begins, which sees nothing from before it; None if none does.
    """
    past = 0 if _is_nothing(seen) else context
    begun = None if begun is None or _is_nothing(begun) else begun

    # [P + T] from the oldest position in the cache to the last new one; [1, 1, T, P + T] pairs that are near each other.
    order = tf.range(past + length, dtype=tf.int64)
    distances = order[past:, None] - order
    visible = ((distances >= 0) & (distances <= context))[None, None]
    if past:
        visible &= (order >= past - seen[:, None])[:, None, None, :]

    # [B, T] places within the episode, from 0.
    if begun is None:
        places = order[None, past:] - past + (seen[:, None] if past else 0)
        return Positions(*_turns(places, size), visible, None, seen + length)

    # [B, P + T] the number of each position's episode, 0 for the one under way, and [B, T, P + T] pairs within one.
    episodes = tf.pad(tf.cumsum(tf.cast(begun, tf.int32), axis=1), [[0, 0], [past, 0]])
    shared = tf.equal(episodes[:, past:, None], episodes[:, None, :])
    earlier = shared[..., past:] & (distances[:, past:] > 0)
    under_way = tf.where(episodes[:, past:] > 0, tf.constant(0, tf.int64), seen[:, None])
    places = tf.reduce_sum(tf.cast(earlier, tf.int64), axis=-1) + under_way
    present = tf.equal(episodes, episodes[:, -1:])
    return Positions(*_turns(places, size), visible & shared[:, None], present, places[:, -1] + 1)


def _turns(places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Returns the cosines and sines `[..., size / 2]` of the angles at `places` `[...]` int64.

    They are rotary position embeddings (Su et al. 2021, arXiv:2104.09864). Angles count in whole units, so that products of
    keys and queries tell the same distances after a billion positions.
    """
    half = size // 2
    speeds = np.round(WAVELENGTH ** (-np.arange(half) / half) / (2 * math.pi) * TURN).astype(np.int64)
    angles = tf.cast(places[..., None] * speeds % TURN, tf.float32) * (2 * math.pi / TURN)
    return tf.cos(angles), tf.sin(angles)


def rotated(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Returns `vectors` `[B, heads, T, size]` turned, of which the halves are the two axes of each turn.

    Args:
        vectors: of queries or keys.
        cosine: `[B, T, size / 2]`, of the angles.
        sine: the same, of their sines.
    """
    first, second = tf.split(vectors, 2, axis=-1)
    cosine, sine = cosine[:, None], sine[:, None]
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

    def call(self, inputs: Tensor, cache: Nest, positions: Positions) -> tuple[Tensor, Nest]:
        """Returns outputs `[B, T, units]` and the cache afterwards.

        Args:
            inputs: `[B, T, units]`.
            cache: turned keys, and values, of the C positions before, `[B, heads, C, units / heads]` each.
            positions: of the inputs. Where they see nothing before their own, the cache is not attended to.
        """
        batch, length = tf.shape(inputs)[0], inputs.shape[1]
        past = positions.visible.shape[-1] - length

        # Queries, keys and values of the new positions, [B, heads, T, size] each.
        parts = tf.reshape(self.inward(inputs), [batch, length, 3, self._heads, self._size])
        queries, keys, values = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))
        queries, keys = (rotated(vectors, positions.cosine, positions.sine) for vectors in (queries, keys))

        # What is in the cache is not copied beside what is new: at a step of one position that would take longer than
        # attending to it.
        scores = tf.matmul(queries, keys, transpose_b=True)
        if past:
            scores = tf.concat([tf.matmul(queries, cache[0], transpose_b=True), scores], axis=-1)

        # [B, heads, T, P + T] attention weights; what is not visible weighs nothing.
        weights = tf.nn.softmax(tf.where(positions.visible, scores / math.sqrt(self._size), -math.inf))

        # [B, T, heads * size] mixed values, projected to [B, T, units].
        mixed = tf.matmul(weights[..., past:], values)
        if past:
            mixed += tf.matmul(weights[..., :past], cache[1])
        mixed = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, length, self._heads * self._size])
        following = tuple(self._extended(*pair, past, positions.present) for pair in zip(cache, (keys, values), strict=True))
        return self.outward(mixed), following

    def _extended(self, cache: Tensor, fresh: Tensor, past: int, present: Tensor | None) -> Tensor:
        """Returns the last C of a cache and of new positions `[B, heads, T, size]`, with zeros for those of ended episodes."""
        last = tf.concat([cache[:, :, fresh.shape[2] :], fresh], axis=2) if past else fresh
        last = last[:, :, -self._context :]
        if present is not None:
            last = tf.where(present[:, None, -last.shape[2] :, None], last, tf.zeros([], last.dtype))
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

    def call(self, inputs: Tensor, cache: Nest, positions: Positions, training: bool = False) -> tuple[Tensor, Nest]:
        attended, cache = self.attention(self.before_attention(inputs), cache, positions)
        inputs = inputs + self.dropout(attended, training=training)
        narrowed = self.narrow(tf.nn.gelu(self.wide(self.before_perceptron(inputs)), approximate=True))
        return inputs + self.dropout(narrowed, training=training), cache

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._sizes, "dropout": self.dropout.rate}


def _is_nothing(values: Tensor) -> bool:
    """Returns whether all are known to be 0, or False, before anything runs."""
    known = tf.get_static_value(values)
    return known is not None and not np.any(known)


def dense(units: int, spread: float, name: str, dtype: keras.DTypePolicy) -> keras.layers.Dense:
    """Returns a layer of this name whose weights begin normally distributed, with `spread` as their standard deviation."""
    normal = keras.initializers.RandomNormal(stddev=spread)
    return keras.layers.Dense(units, kernel_initializer=normal, name=name, dtype=dtype)
