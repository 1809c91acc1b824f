"""The model: two small networks side by side, one for the policy and one for the value."""

from __future__ import annotations

import attrs
import keras

from agentlab import errors
from agentlab.model import ModelBuilder
from agentlab.spec import EnvironmentSpec, array_of
from agentlab.types import Tensor


@attrs.frozen
class MyPluginModel(ModelBuilder):
    """A perceptron for the policy and another one for the value, which is the last output.

    The policy's outputs start close to 0, so that at first all actions are about equally likely (Andrychowicz et al. 2021,
    arXiv:2006.05990).

    Attributes:
        units: in the hidden layer of each perceptron.
    """

    units: int = attrs.field(default=64, validator=attrs.validators.ge(1))

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        if num_outputs < 2:
            raise errors.UsageError(
                f"Model 'my-plugin' has outputs for a policy and a value; expected at least 2, got {num_outputs}. "
                "Choose trainer 'my-plugin', or another model."
            )
        space = array_of(spec.seen, "Model 'my-plugin'", spec.name)
        observation = keras.Input(space.shape, dtype=space.dtype)
        features = keras.layers.Flatten()(observation)  # [B, F]

        policy = self._perceptron(features, num_outputs - 1, initial_scale=0.01)  # [B, K]
        value = self._perceptron(features, 1, initial_scale=1.0)  # [B, 1]
        return keras.Model(observation, keras.layers.Concatenate()([policy, value]))

    def _perceptron(self, features: Tensor, num_outputs: int, initial_scale: float) -> Tensor:
        initializer = keras.initializers.VarianceScaling(initial_scale)
        hidden = keras.layers.Dense(self.units, activation="tanh")(features)
        return keras.layers.Dense(num_outputs, kernel_initializer=initializer)(hidden)
