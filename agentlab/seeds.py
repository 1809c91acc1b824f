"""Randomness as a pure function of (run seed, name of the stream, step): there is no random state to save.

A *stream* is one purpose ("sampler", "replay", ...). Its key is a hash of the run's seed and its name; the seed of a step is
the pair (key, step), which `tf.random.stateless_*` scrambles into independent draws. Streams never disturb each other.
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
