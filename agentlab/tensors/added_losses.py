"""The losses that layers add as a model is called, kept with the pass in which they were added."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class ForwardTape(tf.GradientTape):
    """A gradient tape that records a forward pass, and holds the losses that layers added in it.

    A model knows the losses of its latest call only, and it may be called again before it learns from an earlier one.

    Attributes:
        added_loss: their sum, a float32 scalar; None until it is known.
    """

    added_loss: Any = None

    def add_losses(self, model: keras.Model) -> None:
        """Takes the losses of the model's latest call, weight regularization included; within the tape's block."""
        self.added_loss = sum_of_losses(model)


def sum_of_losses(model: keras.Model) -> Any:
    """Returns the sum of the losses that layers added in the model's latest call, a float32 scalar; traceable."""
    return sum((tf.cast(loss, tf.float32) for loss in model.losses), tf.zeros([]))
