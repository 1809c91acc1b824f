"""Randomness as a pure function of (run seed, name of the stream, step): there is no random state to save.

A *stream* is one purpose ("sampler", "replay", ...). Its key is a hash of the run's seed and its name; the seed of a step is
the pair (key, step), which Philox (Salmon et al. 2011, doi:10.1145/2063384.2063405) scrambles into independent draws.
Streams never disturb each other.

Draw with `uniform` and `integers`: `tf.random.stateless_uniform` of floats gives other numbers under XLA than in a graph;
these give the same bits eagerly, as a graph and under XLA.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def stream(seed: int, name: str) -> int:
    """Returns the key of a stream: 63 bits of a hash of the run's `seed` and the stream's `name`."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def at(key: int, step: Any) -> tf.Tensor:
    """Returns the seed, `[2]` int64, of one `step` (int or int64 scalar) of the stream with this `key`."""
    return tf.stack([tf.constant(key, tf.int64), tf.cast(step, tf.int64)])


def child(seed: tf.Tensor, name: str) -> tf.Tensor:
    """Returns another seed, `[2]` int64, for a part that draws more than once at a step: independent of `seed`'s own draws."""
    return tf.bitwise.bitwise_xor(seed, tf.constant([stream(0, name), 0], tf.int64))


def uniform(seed: tf.Tensor, shape: Any, minimum: float = 0.0, maximum: float = 1.0, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Returns draws from [minimum, maximum) in `shape`, in steps of 2**-24 of the range for float32, of 2**-53 for float64."""
    bits, spare = (tf.uint32, 8) if dtype == tf.float32 else (tf.uint64, 11)
    drawn = tf.random.stateless_uniform(shape, seed, None, None, bits, alg="philox")
    kept = tf.bitwise.right_shift(drawn, tf.constant(spare, bits))
    unit = tf.cast(kept, dtype) * tf.constant(2.0 ** (spare - 8 * bits.size), dtype)
    return minimum + (maximum - minimum) * unit


def integers(seed: tf.Tensor, shape: Any, maximum: Any) -> tf.Tensor:
    """Returns int64 draws from 0 to `maximum - 1` in `shape`; `maximum` is an int or an int64 scalar, far below 2**63."""
    limit = tf.cast(maximum, tf.int64)
    return tf.random.stateless_uniform(shape, seed, tf.constant(0, tf.int64), limit, tf.int64, alg="philox")


def host_seed(seed: int, name: str) -> int:
    """Returns a seed of 31 bits for libraries that take a plain int, such as Gymnasium."""
    return stream(seed, name) >> 32


@contextlib.contextmanager
def keras_initializers(seed: int) -> Iterator[None]:
    """Makes Keras draw unseeded initial weights from `seed`, and leaves Python's global random state as it was.

    Keras seeds an initializer or a dropout layer that was given no seed from the `random` module.
    """
    state = random.getstate()
    random.seed(stream(seed, "keras"))
    try:
        yield
    finally:
        random.setstate(state)
