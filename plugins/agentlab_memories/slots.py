"""Storage in slots: tf.Variables `[capacity, ...]`, written and read by slot."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from agentlab.types import Nest, Tensor


def rings(capacity: int, signature: Nest) -> Nest:
    """Returns variables `[capacity, *shape]` of zeros for a nest of `tf.TensorSpec`s."""
    return tf.nest.map_structure(
        lambda leaf: tf.Variable(tf.zeros([capacity, *leaf.shape], leaf.dtype), trainable=False), signature
    )


def num_bytes(signature: Nest) -> int:
    """Returns the bytes of one value of a nest of `tf.TensorSpec`s."""
    return sum((leaf.shape.num_elements() or 0) * leaf.dtype.size for leaf in tf.nest.flatten(signature))


def put(stored: Nest, slots: Tensor, values: Nest) -> None:
    """Writes `values` `[N, ...]` into the slots `[N]` of variables."""
    tf.nest.map_structure(lambda ring, leaf: ring.scatter_update(tf.IndexedSlices(leaf, slots)), stored, values)


def read(stored: Nest, slots: Tensor) -> Nest:
    """Returns what variables hold in `slots` `[...]`."""
    return tf.nest.map_structure(lambda ring: tf.gather(ring, slots), stored)


def last_that_acted(acted: Tensor, capacity: int) -> tuple[Tensor, Tensor]:
    """Returns how many rows `acted` (`[N]` bool), int64 scalar, and the places `[M]` int64 of the last `capacity` of them.

    Both are constants where it is known before running who acted, as in the device gear.
    """
    known = tf.get_static_value(acted)
    if known is not None:
        places = np.flatnonzero(known)
        return tf.constant(len(places), tf.int64), tf.constant(places[-capacity:], tf.int64)
    places = tf.reshape(tf.where(acted), [-1])
    return tf.size(places, tf.int64), places[-capacity:]
