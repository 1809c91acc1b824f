"""Recurrent models of any observation: one step of an episode at a time, or whole sequences of steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from agentlab.algorithms.minibatches import merge_time
from agentlab.model import RecurrentModel
from agentlab.types import Nest, Tensor
from agentlab_models.recurrence.layers import RecurrentStack
from agentlab_models.styles import build_chain, restored, serialized


@keras.saving.register_keras_serializable(package="agentlab_models")
class StepNetwork(RecurrentModel):
    """Observations through dense layers, recurrent layers that carry the state, and a last dense layer to outputs.

    Args:
        encoder: layers from observations `[B, *O]` to features `[B, F]`; with none, observations are features.
        stack: the recurrent layers.
        num_outputs: K.
        options: as of any Keras model.
    """

    def __init__(self, encoder: Sequence[keras.layers.Layer], stack: RecurrentStack, num_outputs: int, **options: Any) -> None:
        super().__init__(**options)
        self.encoder = list(encoder)
        self.stack = stack
        self.head = keras.layers.Dense(num_outputs, name="head", dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        """Makes all weights for observations `[B, *O]`."""
        features = build_chain(self.encoder, input_shape)
        if not self.stack.built:  # Keras restores layers built
            self.stack.build((None, *features))
        self.head.build((None, self.stack.layers[-1].units))

    def initial_state(self, batch_size: int) -> Nest:
        return self.stack.zero_state(batch_size)

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        outputs, state = self.stack.step(self._features(observation), state, training)
        return self.head(outputs), state

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        # [N * T, F] features of all steps at once, then [T, N, F] for the recurrent layers.
        rows, length = begun.shape
        features = self._features(merge_time(observation))
        by_time = tf.transpose(tf.reshape(features, [rows, length, features.shape[-1]]), [1, 0, 2])
        keep = tf.cast(~tf.transpose(begun), features.dtype)[..., None]

        # [T, N, units] to outputs [N, T, K].
        outputs, state = self.stack.scan(by_time, state, True, training, keep)
        return self.head(tf.transpose(outputs, [1, 0, 2])), state

    def _features(self, observation: Nest) -> Tensor:
        """Returns features `[B, F]` of observations `[B, *O]`."""
        features = observation
        for layer in self.encoder:
            features = layer(features)
        return tf.cast(features, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        parts = {"encoder": serialized(self.encoder), "stack": keras.saving.serialize_keras_object(self.stack)}
        return {**super().get_config(), **parts, "num_outputs": self.head.units}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> StepNetwork:
        stack = keras.saving.deserialize_keras_object(config["stack"], custom_objects)
        return cls(**{**config, "encoder": restored(config["encoder"], custom_objects), "stack": stack})
