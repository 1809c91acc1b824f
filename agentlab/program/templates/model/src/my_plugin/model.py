"""A Keras model, built for whatever environment it is used in."""

from __future__ import annotations

import attrs
import keras

from agentlab.model import ModelBuilder
from agentlab.spec import EnvironmentSpec


@attrs.frozen
class MyPlugin(ModelBuilder):
    """A residual perceptron: each hidden layer adds to what went in (He et al. 2016, arXiv:1512.03385).

    Attributes:
        units: of each layer.
        blocks: how many layers add to the first.
    """

    units: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    blocks: int = attrs.field(default=2, validator=attrs.validators.ge(0))

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        observation = keras.Input(spec.observation.shape, dtype=spec.observation.dtype)
        hidden = keras.layers.Dense(self.units)(keras.layers.Flatten()(observation))
        for _ in range(self.blocks):
            added = keras.layers.Dense(self.units, activation="relu")(hidden)
            hidden = keras.layers.Add()([hidden, added])
        return keras.Model(observation, keras.layers.Dense(num_outputs)(hidden))
