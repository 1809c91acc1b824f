"""Randomness as a pure function of (run seed, name of the stream, step): there is no random state to save.

A *stream* is one purpose ("sampler", "replay", ...). Its key is a hash of the run's seed and its name; the seed of a step is
the pair (key, step), which Philox (Salmon et al. 2011, doi:10.1145/2063384.2063405) scrambles into independent draws.
Streams never disturb each other.

Draw with `uniform` and `integers`: `tf.random.stateless_uniform` of floats gives other numbers under XLA than in a graph;
these give the same bits eagerly, as a graph and under XLA. They are those of its `alg="philox"`, in a quarter of the
operations, which is what a draw costs an agent that steps around a host environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
import threading
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from agentlab.types import Shape, Tensor

PHILOX = 1  # TensorFlow's number for the algorithm
SCRAMBLE = np.array([0x02461E293EC8F720], np.uint64)  # the key with which its stateless_random_ops.cc scrambles seeds
HIGH_WORD = np.array([0, 2**64 - 1], np.uint64)

_drawing = threading.RLock()


def stream(seed: int, name: str) -> int:
    """Returns the key of a stream: 63 bits of a hash of the run's `seed` and the stream's `name`."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def at(key: int, step: int | Tensor) -> tf.Tensor:
    """Returns the seed, `[2]` int64, of one `step` (int or int64 scalar) of the stream with this `key`."""
    return tf.stack([tf.constant(key, tf.int64), tf.cast(step, tf.int64)])


def child(seed: tf.Tensor, name: str) -> tf.Tensor:
    """Returns another seed, `[2]` int64, for a part that draws more than once at a step: independent of `seed`'s own draws."""
    return tf.bitwise.bitwise_xor(seed, tf.constant([stream(0, name), 0], tf.int64))


def branch(seed: tf.Tensor, index: int | Tensor) -> tf.Tensor:
    """Returns another seed, `[2]` int64, for the `index`-th (int or integer scalar) of any number of draws at one step.

    To count up the seed's own number would give the seeds of the steps to come.
    """
    return tf.concat([integers(seed, [1], 2**62), tf.cast(index, tf.int64)[None]], axis=0)


def uniform(
    seed: tf.Tensor, shape: Shape | list[int] | Tensor, minimum: float = 0.0, maximum: float = 1.0, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Returns draws from [minimum, maximum) in `shape`, in steps of 2**-24 of the range for float32, of 2**-52 for float64."""
    # 24 random bits fill a float32's fraction, so that all values are equally far apart.
    if dtype == tf.float32:
        bits = tf.bitwise.right_shift(_bits(seed, shape, tf.uint32), tf.constant(8, tf.uint32))
        unit = tf.cast(bits, tf.float32) * tf.constant(2.0**-24, tf.float32)
        if (minimum, maximum) == (0.0, 1.0):
            return unit
        return _below(tf.cast(_scaled([tf.cast(unit, tf.float64)], minimum, maximum), tf.float32), maximum)

    # 52 bits for a float64, in two halves of 26.
    bits = tf.bitwise.right_shift(_bits(seed, shape, tf.uint64), tf.constant(12, tf.uint64))
    high = tf.bitwise.right_shift(bits, tf.constant(26, tf.uint64))
    low = tf.bitwise.bitwise_and(bits, tf.constant(2**26 - 1, tf.uint64))
    halves = [tf.cast(high, tf.float64) * 2.0**-26, tf.cast(low, tf.float64) * 2.0**-52]
    return _below(_scaled(halves, minimum, maximum), maximum)


def _bits(seed: tf.Tensor, shape: Shape | list[int] | Tensor, dtype: tf.DType) -> tf.Tensor:
    key, counter = _key_and_counter(seed)
    return tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, key=key, counter=counter, alg=PHILOX, dtype=dtype)


def _key_and_counter(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the key `[1]` and the counter `[2]` of Philox, uint64, from which a seed's draws are made."""
    mixed = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[2], key=SCRAMBLE, counter=tf.cast(seed, tf.uint64), alg=PHILOX, dtype=tf.uint64
    )
    return mixed[:1], tf.bitwise.bitwise_and(mixed, HIGH_WORD)


def _scaled(units: list[tf.Tensor], minimum: float, maximum: float) -> tf.Tensor:
    """Returns `minimum + (maximum - minimum) * sum(units)`, by products that float64 holds exactly.

    XLA contracts a product and a sum to one instruction that rounds once, a graph rounds twice: with a product that needs no
    rounding, both get the same. So the factors have 26 bits, and the width is the sum of two such; of units of which the second
    is the finer, its product with the finer part of the width is below the last bit.
    """
    mantissa, exponent = math.frexp(maximum - minimum)
    coarse = math.ldexp(math.floor(mantissa * 2**26), exponent - 26)
    fine = (maximum - minimum) - coarse
    rest = fine * units[0]
    if len(units) > 1:
        rest = rest + coarse * units[1]
    return minimum + (coarse * units[0] + rest)


def _below(drawn: tf.Tensor, maximum: float) -> tf.Tensor:
    """Returns `drawn` with what was rounded up to `maximum` one step below it."""
    limit = np.asarray(maximum, drawn.dtype.as_numpy_dtype)
    return tf.minimum(drawn, np.nextafter(limit, limit.dtype.type(-np.inf)))


def normal(seed: tf.Tensor, shape: Shape | list[int] | Tensor) -> tf.Tensor:
    """Returns draws from the standard normal distribution in `shape`, float32, by its inverse; at most 5.5 from 0.

    The uniform numbers behind them are the same bits everywhere; a graph and XLA may round the inverse differently.
    """
    return _normal_at(uniform(seed, shape))


def _normal_at(unit: tf.Tensor) -> tf.Tensor:
    """Returns the normal numbers below which a share of `unit` lies, taken in the middle of its step of 2**-24.

    Reckoned from the nearer end: so close to 1, float32 could not tell the middle of the last step from 1, which is infinitely
    far out. Half a step is added last, where XLA can't draw it together with the other constant.
    """
    lower = unit < 0.5
    nearer = tf.where(lower, unit, (1.0 - 2.0**-24) - unit)
    return tf.where(lower, 1.0, -1.0) * tf.math.ndtri(nearer + 2.0**-25)


def integers(seed: tf.Tensor, shape: Shape | list[int] | Tensor, maximum: int | Tensor) -> tf.Tensor:
    """Returns int64 draws from 0 to `maximum - 1` in `shape`; `maximum` is an int or an int64 scalar, far below 2**63."""
    key, counter = _key_and_counter(seed)
    zero, limit = tf.constant(0, tf.int64), tf.cast(maximum, tf.int64)
    return tf.raw_ops.StatelessRandomUniformIntV2(shape=shape, key=key, counter=counter, alg=PHILOX, minval=zero, maxval=limit)


def host_seed(seed: int, name: str) -> int:
    """Returns a seed of 31 bits for libraries that take a plain int, such as Gymnasium."""
    return stream(seed, name) >> 32


@contextlib.contextmanager
def keras_initializers(seed: int) -> Iterator[None]:
    """Makes Keras draw unseeded initial weights from `seed`, and leaves Python's global random state as it was.

    Keras seeds an initializer or a dropout layer that was given no seed from the `random` module, which all threads share: one
    model is built at a time.
    """
    with _drawing:
        state = random.getstate()
        random.seed(stream(seed, "keras"))
        try:
            yield
        finally:
            random.setstate(state)
