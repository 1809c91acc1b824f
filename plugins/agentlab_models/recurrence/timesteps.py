"""Timesteps: a time-major tensor `[T, B, F]` that a loop reads and overwrites one position at a time.

A TensorFlow list is a plain buffer under XLA, and setting an item writes into it in place. XLA copies the whole buffer in each
round, though, where a round reads an item for something on which the value it then writes does not depend.
"""

from __future__ import annotations

import tensorflow as tf

from agentlab.types import Tensor


def split(tensor: Tensor) -> Tensor:
    """Returns a list of the T positions of `tensor` `[T, B, F]`."""
    return tf.raw_ops.TensorListFromTensor(tensor=tensor, element_shape=_shape(tensor))


def blank(like: Tensor, length: Tensor) -> Tensor:
    """Returns a list of `length` positions, to be set, each of the shape and dtype of `like` `[B, F]`."""
    return tf.raw_ops.TensorListReserve(element_shape=tf.shape(like), num_elements=length, element_dtype=like.dtype)


def read(positions: Tensor, index: Tensor, like: Tensor) -> tf.Tensor:
    """Returns the item `[B, F]` at `index`; `like` is a tensor of its width and dtype."""
    return tf.raw_ops.TensorListGetItem(
        input_handle=positions, index=index, element_shape=_shape(like), element_dtype=like.dtype
    )


def write(positions: Tensor, index: Tensor, item: Tensor) -> Tensor:
    """Returns the list with `item` `[B, F]` at `index`."""
    return tf.raw_ops.TensorListSetItem(input_handle=positions, index=index, item=item)


def join(positions: Tensor, like: Tensor, length: int | None) -> tf.Tensor:
    """Returns the list as a tensor `[T, B, F]`; `like` is a tensor of the items' shape and dtype, `length` T if it is known."""
    joined = tf.raw_ops.TensorListStack(
        input_handle=positions, element_shape=_shape(like), element_dtype=like.dtype, num_elements=-1
    )
    joined.set_shape([length, *like.shape[-2:]])
    return joined


def rows(tensor: Tensor) -> tf.Tensor:
    """Returns `[T, B, F]` as `[T * B, F]`."""
    return tf.reshape(tensor, [-1, tensor.shape[-1]])


def shifted(first: Tensor, later: Tensor) -> tf.Tensor:
    """Returns `first` `[T, B, F]` without its first position and with `later` `[B, F]` after its last."""
    result = tf.concat([first[1:], later[tf.newaxis]], axis=0)
    result.set_shape(first.shape)
    return result


def masked(values: Tensor, keep: Tensor | None) -> Tensor:
    """Returns `values` `[T, B, F]` times `keep` `[T, B, 1]`, or as they are where that is None."""
    return values if keep is None else values * keep


def kept_at(value: Tensor, keep: Tensor | None, index: Tensor) -> Tensor:
    """Returns `value` `[B, F]` times `keep` at `index`, or as it is where `keep` is None."""
    return value if keep is None else value * keep[index]


def _shape(tensor: Tensor) -> list[int]:
    return [-1, tensor.shape[-1]]
