"""Multi-layer perceptrons."""

from __future__ import annotations

import attrs
import keras

from agentlab.model import ModelBuilder
from agentlab.spec import EnvironmentSpec


@attrs.frozen
class MLP(ModelBuilder):
    """A multi-layer perceptron from the flattened observation to one output per action.

    Attributes:
        hidden_units: units of each hidden layer.
        activation: of the hidden layers, by Keras's name.
    """

    hidden_units: tuple[int, ...] = attrs.field(
        default=(120, 84), validator=attrs.validators.deep_iterable(attrs.validators.ge(1))
    )
    activation: str = "relu"

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        shape = spec.observation.shape
        flatten = [keras.layers.Flatten()] if len(shape) != 1 else []
        hidden = [keras.layers.Dense(units, activation=self.activation) for units in self.hidden_units]
        inputs = keras.Input(shape, dtype=spec.observation.dtype)
        return keras.Sequential([inputs, *flatten, *hidden, keras.layers.Dense(num_outputs)])
