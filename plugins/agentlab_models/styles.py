"""The three ways to put layers together in Keras: Sequential, Functional and subclassed; the same numbers by each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from agentlab.spec import EnvironmentSpec
from agentlab_models.features import inputs_of

Layers = Sequence[keras.layers.Layer]


def sequential(spec: EnvironmentSpec, layers: Layers) -> keras.Model:
    """Returns the layers as a Sequential model of the environment's observations."""
    inputs = inputs_of(spec)
    if isinstance(inputs, dict):  # which a Sequential model does not take
        return functional(spec, layers)
    return keras.Sequential([inputs, *layers])


def functional(spec: EnvironmentSpec, layers: Layers) -> keras.Model:
    """Returns the layers as a Functional model of the environment's observations."""
    inputs = outputs = inputs_of(spec)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


class Subclassed(keras.Model):
    """A model that calls one layer after another.

    Args:
        chain: the layers.
    """

    def __init__(self, chain: Layers) -> None:
        super().__init__()
        self.chain = list(chain)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the last layer's output `[B, ..., K]` for inputs `[B, *O]`."""
        for layer in self.chain:
            # Keras hands `training` on to layers that tell training from inference, such as dropout.
            inputs = layer(inputs)
        return inputs
