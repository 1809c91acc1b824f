"""A model that records which of its forward passes a trainer learns from, and which run in training mode."""

from __future__ import annotations

import math

import attrs
import keras
import tensorflow as tf

from agentlab.model import RecurrentModel
from agentlab.types import Batch, Nest, Tensor


class Watching(keras.Model):
    """A model with two more variables, on which its outputs do not depend.

    In a pass over `row` it adds `price` to the loss, in any other pass `-price`: where the former counts, every optimizer
    lowers it. `strays` counts the passes in training over anything else, as statistics such as batch normalization's would
    take them in.

    Args:
        inner: gives the outputs.
        row: `[*O]`, what every row of the pass to learn from shows.
    """

    def __init__(self, inner: keras.Model, row: Nest) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.row = tf.nest.flatten(row)
        self.price = self.add_weight(shape=(), initializer="zeros", name="price")
        self.strays = self.add_weight(shape=(), initializer="zeros", trainable=False, name="strays")

    def watch(self, inputs: Nest, training: bool) -> None:
        """Takes in a pass over `inputs` `[..., *O]`."""
        pairs = zip(tf.nest.flatten(inputs), self.row, strict=True)
        alike = [tf.reduce_all(tf.equal(leaf, tf.cast(example, leaf.dtype))) for leaf, example in pairs]
        to_learn_from = tf.reduce_all(tf.stack(alike))
        self.add_loss(tf.where(to_learn_from, 1.0, -1.0) * self.price)
        if training:
            self.strays.assign_add(tf.where(to_learn_from, 0.0, 1.0))


class Watched(Watching):
    """A model without state, watched."""

    def call(self, inputs: Nest, training: bool = False) -> Tensor:
        """Returns the inner model's outputs."""
        self.watch(inputs, training)
        return self.inner(inputs, training=training)


class WatchedRecurrent(Watching, RecurrentModel):
    """A model that carries a state, watched."""

    def initial_state(self, batch_size: int) -> Nest:
        return self.inner.initial_state(batch_size)

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the inner model's outputs and state."""
        self.watch(observation, training)
        return self.inner(observation, state, training=training)

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        self.watch(observation, training)
        return self.inner.unroll(observation, state, begun, training)


def watched(inner: keras.Model, row: Nest) -> Watching:
    """Returns the model, watched; see `Watching`."""
    return (WatchedRecurrent if isinstance(inner, RecurrentModel) else Watched)(inner, row)


def distinguishable(batch: Batch) -> Batch:
    """Returns `batch` with the same row in all of `observation`, and in all of `next_observation` another, if it has one."""
    axes = batch.reward.shape
    observation, following = (_as_rows(value, len(axes)) for value in (batch.observation, batch.next_observation))

    # [2 N T, ...] all rows, and the first that differs from row 0.
    rows = tf.nest.map_structure(lambda *leaves: tf.concat(leaves, axis=0), observation, following)
    differs = [tf.reduce_any(tf.reshape(leaf != leaf[0], [len(leaf), -1]), axis=1) for leaf in tf.nest.flatten(rows)]
    other = tf.argmax(tf.reduce_any(tf.stack(differs), axis=0))
    return attrs.evolve(
        batch,
        observation=tf.nest.map_structure(lambda leaf: _everywhere(leaf[0], axes), rows),
        next_observation=tf.nest.map_structure(lambda leaf: _everywhere(leaf[other], axes), rows),
    )


def _as_rows(value: Nest, rank: int) -> Nest:
    """Returns leaves `[..., *O]`, of `rank` axes before those of the observation, as `[rows, *O]`."""
    return tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [math.prod(leaf.shape[:rank]), *leaf.shape[rank:]]), value)


def _everywhere(row: Tensor, axes: tf.TensorShape) -> Tensor:
    return tf.broadcast_to(row, [*axes, *row.shape])
