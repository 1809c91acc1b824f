"""Dense layers from features to outputs: plain or dueling, with or without noise in the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.spec import EnvironmentSpec, choices_of, describe, num_values_of
from agentlab.tensors import keras_names
from agentlab.types import Tensor
from agentlab_models.noisy import NoisyDense
from agentlab_models.styles import restored, serialized


@attrs.frozen
class Dense:
    """Makes dense layers.

    Attributes:
        activation: of the hidden ones, by Keras's name.
        noise: of the weights at first, see `NoisyDense`; None for layers without.
        dropout: the share of hidden units dropped in training, 0 to less than 1.
    """

    activation: str
    noise: float | None
    dropout: float = 0.0

    def layer(self, units: int, stream: str, activation: str | None = None) -> keras.layers.Layer:
        """Returns a layer; `stream` names it among the model's."""
        if self.noise is None:
            return keras.layers.Dense(units, activation=activation and keras_names.activation(activation))
        return NoisyDense(units, stream, activation, self.noise)

    def hidden(self, units: int, stream: str) -> list[keras.layers.Layer]:
        """Returns a hidden layer, and its dropout if there is any."""
        dropout = [keras.layers.Dropout(self.dropout)] if self.dropout else []
        return [self.layer(units, stream, self.activation), *dropout]


def dense_layers(
    spec: EnvironmentSpec, num_outputs: int, hidden_units: Sequence[int], dense: Dense, dueling: bool
) -> list[keras.layers.Layer]:
    """Returns hidden layers and the last one; with `dueling`, the last hidden layer becomes two, see `Dueling`.

    Raises:
        UsageError: actions are no choices, or outputs can't be shared out among them, which dueling needs.
    """
    shared = hidden_units[:-1] if dueling else hidden_units
    layers = [layer for index, units in enumerate(shared) for layer in dense.hidden(units, f"hidden_{index}")]
    if not dueling:
        return [*layers, dense.layer(num_outputs, "last")]
    return [*layers, _dueling(spec, num_outputs, hidden_units[-1:], dense)]


def _dueling(spec: EnvironmentSpec, num_outputs: int, hidden_units: Sequence[int], dense: Dense) -> Dueling:
    action, num_values = spec.action, num_values_of(spec.action)
    if num_values is None or choices_of(action) or num_outputs % num_values:
        raise errors.UsageError(
            f"A dueling network has outputs for each of several actions; environment {spec.name!r} takes a {describe(action)} "
            f"and the trainer wants {num_outputs} outputs. Set model.dueling=false."
        )

    # Z atoms for each action; 1 unless the returns have a distribution.
    atoms = num_outputs // num_values

    def stream(name: str, outputs: int) -> list[keras.layers.Layer]:
        hidden = [layer for units in hidden_units for layer in dense.hidden(units, f"{name}_hidden")]
        return [*hidden, dense.layer(outputs, name)]

    return Dueling(stream("value", atoms), stream("advantage", num_outputs), atoms)


@keras.saving.register_keras_serializable(package="agentlab_models")
class Dueling(keras.layers.Layer):
    """The value of a state plus each action's advantage over their mean (Wang et al. 2016, arXiv:1511.06581, equation 9).

    With several outputs per action, as of a distribution, each is the sum for itself (Hessel et al. 2018).

    Args:
        value: layers from features to the outputs of one action, `[N, Z]`.
        advantage: layers from features to the outputs of all, `[N, A Z]`.
        atoms: Z.
    """

    def __init__(
        self, value: Sequence[keras.layers.Layer], advantage: Sequence[keras.layers.Layer], atoms: int, **keras_arguments: Any
    ) -> None:
        super().__init__(**keras_arguments)
        self.value = list(value)
        self.advantage = list(advantage)
        self.atoms = atoms

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for stream in (self.value, self.advantage):
            shape = input_shape
            for layer in stream:
                if not layer.built:  # Keras restores layers built
                    layer.build(shape)
                shape = layer.compute_output_shape(shape)
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Returns the outputs `[N, A Z]` for features `[N, I]`."""
        # [N, Z] value and [N, A Z] advantages.
        value = advantage = inputs
        for layer in self.value:
            value = layer(value)
        for layer in self.advantage:
            advantage = layer(advantage)

        # [N, A, Z] sums; advantages count from their mean, so that the value has only one solution.
        outputs = advantage.shape[-1]
        advantage = tf.reshape(advantage, [-1, outputs // self.atoms, self.atoms])
        sums = value[:, None, :] + advantage - tf.reduce_mean(advantage, axis=1, keepdims=True)
        return tf.reshape(sums, [-1, outputs])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns `[N, A Z]`."""
        return self.advantage[-1].compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        streams = {"value": serialized(self.value), "advantage": serialized(self.advantage)}
        return {**super().get_config(), **streams, "atoms": self.atoms}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Dueling:
        return cls(**{**config, "value": restored(config["value"]), "advantage": restored(config["advantage"])})
