"""The three ways to compose layers in Keras, Sequential, Functional and subclassed, with the same results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from agentlab.spec import EnvironmentSpec
from agentlab.types import Tensor

Layers = Sequence[keras.layers.Layer]


def sequential(spec: EnvironmentSpec, layers: Layers) -> keras.Model:
    """Returns the layers as a Sequential model of the environment's observations; of a mapping, as a subclassed one."""
    space = spec.seen
    if isinstance(space, dict):  # whose entries Keras would have to name inputs after: not with '/', nor twice in a nest
        return Subclassed(layers)
    return keras.Sequential([keras.Input(space.shape, dtype=space.dtype), *layers])


def functional(spec: EnvironmentSpec, layers: Layers) -> keras.Model:
    """Returns the layers as a Functional model of the environment's observations; of a mapping, as a subclassed one."""
    space = spec.seen
    if isinstance(space, dict):
        return Subclassed(layers)
    inputs = outputs = keras.Input(space.shape, dtype=space.dtype)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def serialized(layers: Layers) -> list[dict[str, Any]]:
    """Returns what Keras writes of layers, for the `get_config` of what is made of them."""
    return [keras.saving.serialize_keras_object(layer) for layer in layers]


def restored(configs: Sequence[dict[str, Any]], custom_objects: dict[str, Any] | None = None) -> list[keras.layers.Layer]:
    """Returns the layers of which Keras wrote `configs`; for `from_config`, which nothing but Keras calls."""
    return [keras.saving.deserialize_keras_object(config, custom_objects) for config in configs]


def build_chain(layers: Layers, input_shape: Any) -> Any:
    """Makes the weights of layers that are called one after another, and returns the shape of the last one's output.

    Args:
        layers: the first one first.
        input_shape: `(None, *O)`, or a mapping of such shapes.
    """
    shape = input_shape if isinstance(input_shape, dict) else tuple(input_shape)
    for layer in layers:
        if not layer.built:  # Keras restores layers built
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


@keras.saving.register_keras_serializable(package="agentlab_models")
class Subclassed(keras.Model):
    """A model that calls one layer after another.

    Args:
        chain: the layers.
        options: as of any Keras model.
    """

    def __init__(self, chain: Layers, **options: Any) -> None:
        super().__init__(**options)
        self.chain = list(chain)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights for inputs of a shape `[B, *O]`, or of a mapping of shapes."""
        build_chain(self.chain, input_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns the last layer's output `[B, ..., K]` for inputs `[B, *O]`."""
        for layer in self.chain:
            # Keras hands `training` on to layers that tell training from inference, such as dropout.
            inputs = layer(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "chain": serialized(self.chain)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Subclassed:
        return cls(**{**config, "chain": restored(config["chain"], custom_objects)})
