"""Multi-layer perceptrons."""

from __future__ import annotations

from typing import Literal

import attrs
import keras

from agentlab.fields import optional_positive
from agentlab.model import ModelBuilder
from agentlab.spec import EnvironmentSpec
from agentlab.tensors import keras_names
from agentlab_models.features import feature_layers
from agentlab_models.heads import dense_layers
from agentlab_models.regularized import NORMALIZATIONS, RegularizedDense
from agentlab_models.styles import Subclassed, functional, sequential


@attrs.frozen
class MLP(ModelBuilder):
    """A multi-layer perceptron from the flattened observation to one output per action.

    Attributes:
        hidden_units: units of each hidden layer.
        activation: of the hidden layers, by Keras's name.
        dueling: the last hidden layer is there twice, for the value of the state and for the advantages of actions (Wang et al.
            2016, arXiv:1511.06581).
        noise: amplitude at first of the noise in all weights, by which the model explores (Fortunato et al. 2018,
            arXiv:1706.10295); 0.5 in the paper, None for none.
        dropout: share of the hidden units that are dropped wherever the model learns or explores, 0 to less than 1.
        normalization: "layer" or "batch", at every hidden layer, and with "batch" of the inputs; None for none.
    """

    hidden_units: tuple[int, ...] = attrs.field(
        default=(120, 84), validator=attrs.validators.deep_iterable(attrs.validators.ge(1))
    )
    activation: str = "relu"
    dueling: bool = False
    noise: float | None = optional_positive(None)
    dropout: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    normalization: Literal["layer", "batch"] | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.in_(NORMALIZATIONS))
    )

    def layers(self, spec: EnvironmentSpec, num_outputs: int) -> list[keras.layers.Layer]:
        """Returns the layers, first to last."""
        dense = RegularizedDense(self.activation, self.noise, self.dropout, self.normalization)
        last = dense_layers(spec, num_outputs, self.hidden_units, dense, self.dueling)
        return [*feature_layers(spec), *dense.first(), *last]

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return sequential(spec, self.layers(spec, num_outputs))


@attrs.frozen
class FunctionalMLP(MLP):
    """The multi-layer perceptron as a Functional model."""

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return functional(spec, self.layers(spec, num_outputs))


@attrs.frozen
class SubclassedMLP(MLP):
    """The multi-layer perceptron as a subclass of `keras.Model`."""

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return Subclassed(self.layers(spec, num_outputs))


@attrs.frozen
class Linear(ModelBuilder):
    """One layer without activation: outputs are weighted sums of the flattened observation, plus a bias.

    Attributes:
        initializer: of the weights, by Keras's name; biases begin at 0.
    """

    initializer: str = "zeros"

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        dense = keras.layers.Dense(num_outputs, kernel_initializer=keras_names.initializer(self.initializer))
        return sequential(spec, [*feature_layers(spec), dense])
