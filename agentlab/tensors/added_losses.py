"""The losses that layers add as a model is called."""

from __future__ import annotations

import keras
import tensorflow as tf

from agentlab.tensors.aliases import Tensor


def sum_of_losses(model: keras.Model) -> Tensor:
    """Returns the sum of the losses that layers added in the model's latest call, a float32 scalar; traceable.

    Weight regularization is included. A model knows the losses of its latest call only, and it may be called again before it
    learns from an earlier one, so they are taken with the pass.
    """
    return sum((tf.cast(loss, tf.float32) for loss in model.losses), tf.zeros([]))
