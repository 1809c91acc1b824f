"""Parameters as one vector: an element-wise update is then one operation, whatever the number of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from agentlab.tensors.adam import Adam
from agentlab.tensors.aliases import Tensor
from agentlab.tensors.state import Scratch

ELEMENTWISE = (Adam, keras.optimizers.Adam, keras.optimizers.RMSprop, keras.optimizers.SGD)
NUM_COLUMNS = 1_024  # of an array whose norm is taken; of 100, MNIST's MLP took a seventh longer for an update
FUSED_SIZE = 50_000  # elements up to which the copies into and out of one vector cost less than separate operations


def flatten(tensors: Sequence[Tensor]) -> tf.Tensor:
    """Returns all elements of the float32 `tensors`, `[P]`, in order."""
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[tf.Tensor]:
    """Returns the parts of `vector` `[P]` in the shapes of `like`; the inverse of `flatten`."""
    parts = tf.split(vector, [math.prod(part.shape) for part in like])
    return [tf.reshape(part, model.shape) for part, model in zip(parts, like, strict=True)]


def is_small(variables: Sequence[Tensor]) -> bool:
    """Returns whether the variables are so small together that it pays to hold them as one vector."""
    return sum(math.prod(variable.shape) for variable in variables) <= FUSED_SIZE


def global_norm(tensors: Sequence[Tensor]) -> tf.Tensor:
    """Returns the Euclidean norm of all elements of floating-point `tensors` together, a float32 scalar.

    By way of the norms of columns: XLA adds up a whole array one element after the other, but columns side by side, which
    takes a fifth of the time. Of sums of columns, without their roots, XLA would make one sum of the whole array again.
    """
    columns = [_as_columns(tf.cast(tensor, tf.float32)) for tensor in tensors]
    norms = [tf.sqrt(tf.reduce_sum(tf.square(matrix), axis=0)) for matrix in columns]
    return tf.sqrt(tf.reduce_sum(tf.square(norms[0] if len(norms) == 1 else tf.concat(norms, axis=0))))


def _as_columns(tensor: Tensor) -> tf.Tensor:
    """Returns the elements of a tensor as a matrix of at most `NUM_COLUMNS` columns, its end filled up with zeros."""
    vector = tf.reshape(tensor, [-1])
    size = vector.shape[0]
    width = max(1, min(NUM_COLUMNS, size))
    missing = -size % width
    return tf.reshape(tf.pad(vector, [[0, missing]]) if missing else vector, [-1, width])


def clipped(gradients: Sequence[Tensor], limit: float, norm: Tensor) -> list[Tensor]:
    """Returns `gradients` scaled down together from their global `norm` to `limit`, or as they are if that is not exceeded."""
    result = list(gradients)
    for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):  # TensorFlow's function takes one at a time
        places = [place for place, gradient in enumerate(gradients) if gradient.dtype == dtype]
        scaled, _ = tf.clip_by_global_norm([gradients[place] for place in places], limit, use_norm=tf.cast(norm, dtype))
        for place, gradient in zip(places, scaled, strict=True):
            result[place] = gradient
    return result


class Updater:
    """Applies a Keras optimizer to a model's variables.

    Optimizers that treat every element alike see a small model as one vector: a handful of operations and two slots, instead
    of a dozen operations and two slots per layer. The numbers are the same.

    Args:
        optimizer: any Keras optimizer, not yet built.
        variables: the Keras variables to change.

    Attributes:
        weights: those.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> None:
        self.optimizer = optimizer
        self.weights = list(variables)
        self._fused: Scratch | None = None

        # Small float32 weights as one vector: a handful of operations instead of a dozen for each.
        if _fusible(optimizer, self.weights):
            start = flatten([variable.value for variable in variables])
            self._fused = Scratch(keras.Variable(start, dtype="float32", name="parameters"))
        optimizer.build([self._fused.variable] if self._fused is not None else self.weights)

    def apply(self, gradients: Sequence[Tensor], max_norm: float | None = None) -> tf.Tensor:
        """Changes the variables by one step along gradients; traceable.

        Args:
            gradients: one tensor per variable.
            max_norm: they are scaled down to this global norm; None leaves them as they are.

        Returns:
            Their global norm before, a float32 scalar.
        """
        if self._fused is None:
            norm = global_norm(gradients)
            self._step(gradients if max_norm is None else clipped(gradients, max_norm, norm), self.weights)
            return norm

        # [P] the gradient of the vector.
        gradient = flatten(gradients)
        norm = global_norm([gradient])
        if max_norm is not None:
            (gradient,) = clipped([gradient], max_norm, norm)

        # One step of the optimizer on the vector, written back weight by weight.
        fused = self._fused.variable
        fused.assign(flatten([variable.value for variable in self.weights]))
        self._step([gradient], [fused])
        for variable, value in zip(self.weights, unflatten(fused.value, self.weights), strict=True):
            variable.assign(value)
        return norm

    def _step(self, gradients: Sequence[Tensor], variables: Sequence[keras.Variable]) -> None:
        """Makes a step of the optimizer, where Keras doesn't sum gradients over replicas, of which there is one.

        For that sum, TensorFlow registers a gradient that keeps the whole graph in memory for as long as the process lives.
        """
        replica = tf.distribute.get_replica_context()
        if replica is None:
            self.optimizer.apply(gradients, variables)
        else:
            replica.merge_call(lambda _: self.optimizer.apply(gradients, variables))


def _fusible(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> bool:
    """Whether one vector gets the same numbers: nothing the optimizer does looks at single variables."""
    alike = all(variable.dtype == "float32" and variable.constraint is None for variable in variables)
    by_variable = optimizer.clipnorm or optimizer.weight_decay  # decay may leave some variables out
    return type(optimizer) in ELEMENTWISE and is_small(variables) and alike and not by_variable
