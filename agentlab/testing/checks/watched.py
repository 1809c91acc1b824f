"""A model that tells which of its forward passes a trainer learns from, and which it makes in training."""

from __future__ import annotations

from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab.model import RecurrentModel
from agentlab.types import Transition


class Watching(keras.Model):
    """A model with two variables more, on which its outputs do not depend.

    In a pass over `row` it adds `price` to the loss, in any other pass `-price`: where the former counts, every optimizer
    lowers it. `strays` counts the passes in training over anything else, as statistics such as batch normalization's would
    take them in.

    Args:
        inner: gives the outputs.
        row: `[*O]`, what every row of the pass to learn from shows.
    """

    def __init__(self, inner: keras.Model, row: Any) -> None:
        super().__init__(name=inner.name)
        self.inner = inner
        self.row = row
        self.price = self.add_weight(shape=(), initializer="zeros", name="price")
        self.strays = self.add_weight(shape=(), initializer="zeros", trainable=False, name="strays")

    def watch(self, inputs: Any, training: bool) -> None:
        """Takes in a pass over `inputs` `[B, *O]`."""
        to_learn_from = tf.reduce_all(tf.equal(inputs, tf.cast(self.row, inputs.dtype)))
        self.add_loss(tf.where(to_learn_from, 1.0, -1.0) * self.price)
        if training:
            self.strays.assign_add(tf.where(to_learn_from, 0.0, 1.0))


class Watched(Watching):
    """A model without state, watched."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the inner model's outputs."""
        self.watch(inputs, training)
        return self.inner(inputs, training=training)


class WatchedRecurrent(Watching, RecurrentModel):
    """A model that carries a state, watched."""

    def initial_state(self, batch_size: int) -> Any:
        return self.inner.initial_state(batch_size)

    def call(self, observation: Any, state: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the inner model's outputs and state."""
        self.watch(observation, training)
        return self.inner(observation, state, training=training)


def watched(inner: keras.Model, row: Any) -> Watching:
    """Returns the model, watched; see `Watching`."""
    return (WatchedRecurrent if isinstance(inner, RecurrentModel) else Watched)(inner, row)


def told_apart(batch: Transition) -> Transition:
    """Returns `batch` with the same row in all of `observation`, and in all of `next_observation` another, if it has one."""
    row = batch.observation[0]
    others = tf.concat([batch.observation, batch.next_observation], axis=0)
    differs = tf.reduce_any(tf.reshape(others != row, [len(others), -1]), axis=1)
    other = others[tf.argmax(differs)]
    return attrs.evolve(
        batch,
        observation=tf.repeat(row[None], len(batch.observation), axis=0),
        next_observation=tf.repeat(other[None], len(batch.observation), axis=0),
    )
