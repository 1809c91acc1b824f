"""Observations as features: the input of dense layers, whatever the space."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from agentlab.spec import EnvironmentSpec, Space, SpaceNest, features_of, is_array, pairs_of
from agentlab.types import Nest, Tensor


def is_flat(space: SpaceNest) -> bool:
    """Returns whether observations are features as they are: one list of floating-point numbers."""
    return is_array(space) and len(space.shape) == 1


def feature_layers(spec: EnvironmentSpec) -> list[keras.layers.Layer]:
    """Returns the layers that make features `[B, F]` of what models see; none where that is what they see."""
    space = spec.seen
    if is_flat(space):
        return []
    return [keras.layers.Flatten()] if is_array(space) else [Features(space)]


@keras.saving.register_keras_serializable(package="agentlab_models")
class Features(keras.layers.Layer):
    """Concatenates one-hot codes of choices and arrays as they are: `[B, F]` float32.

    Args:
        space: of the observations.
        options: as of any Keras layer.
    """

    def __init__(self, space: SpaceNest, **options: Any) -> None:
        super().__init__(**options)
        self._space = space

    def call(self, inputs: Nest) -> Tensor:
        """Returns features `[B, F]` of observations `[B, *O]`."""
        parts = [_features(leaf, values) for leaf, values in pairs_of(self._space, inputs)]
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Returns `[B, F]`."""
        return None, features_of(self._space)

    def compute_output_spec(self, inputs: Tensor) -> Tensor:
        """Returns `[B, F]` float32."""
        return keras.KerasTensor((None, features_of(self._space)), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "space": EnvironmentSpec("", self._space, self._space).as_data()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Features:
        return cls(**{**config, "space": EnvironmentSpec.from_data(config["space"]).observation})


def _features(space: Space, values: Tensor) -> Tensor:
    """Returns features `[B, F]` float32 of values `[B, *shape]` of one space."""
    # [B, F] one-hot codes of choices, numbers as they are.
    if space.num_values is not None:
        codes = tf.one_hot(values, space.num_values)
    elif space.sizes:
        parts = tf.unstack(values, axis=-1)
        codes = tf.concat([tf.one_hot(part, size) for part, size in zip(parts, space.sizes, strict=True)], axis=-1)
    else:
        codes = tf.cast(values, tf.float32)
    return tf.reshape(codes, [-1, space.num_features])
