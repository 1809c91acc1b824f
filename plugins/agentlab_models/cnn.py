"""Convolutional networks for images."""

from __future__ import annotations

import attrs
import keras

from agentlab import errors
from agentlab.model import ModelBuilder
from agentlab.spec import EnvironmentSpec
from agentlab_models.styles import Subclassed, functional, sequential


@attrs.frozen
class CNN(ModelBuilder):
    """A convolutional network: convolutions, each followed by pooling by 2; a hidden layer; one output per action.

    Attributes:
        filters: of each convolution.
        kernel_size: pixels of a filter's side.
        hidden_units: units of the layer after the convolutions.
        dropout: the share of hidden units dropped in training, 0 to less than 1.
    """

    filters: tuple[int, ...] = attrs.field(default=(32, 64), validator=attrs.validators.deep_iterable(attrs.validators.ge(1)))
    kernel_size: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    hidden_units: int = attrs.field(default=1_024, validator=attrs.validators.ge(1))
    dropout: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])

    def layers(self, spec: EnvironmentSpec, num_outputs: int) -> list[keras.layers.Layer]:
        """Returns the layers, first to last.

        Raises:
            UsageError: the observation is no image large enough to be pooled.
        """
        check_image(spec, 2 ** len(self.filters))
        layers: list[keras.layers.Layer] = []
        for filters in self.filters:
            layers += [
                keras.layers.Conv2D(filters, self.kernel_size, padding="same", activation="relu"),
                keras.layers.MaxPooling2D(),
            ]
        layers += [keras.layers.Flatten(), keras.layers.Dense(self.hidden_units, activation="relu")]
        if self.dropout:
            layers.append(keras.layers.Dropout(self.dropout))
        return [*layers, keras.layers.Dense(num_outputs)]

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return sequential(spec, self.layers(spec, num_outputs))


@attrs.frozen
class FunctionalCNN(CNN):
    """The convolutional network as a Functional model."""

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return functional(spec, self.layers(spec, num_outputs))


@attrs.frozen
class SubclassedCNN(CNN):
    """The convolutional network as a subclass of `keras.Model`."""

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return Subclassed(self.layers(spec, num_outputs))


def check_image(spec: EnvironmentSpec, smallest: int) -> None:
    """Checks that observations are images with sides of at least `smallest` pixels.

    Raises:
        UsageError: they are not.
    """
    shape = spec.observation.shape
    if len(shape) != 3 or min(shape[:2]) < smallest:
        raise errors.UsageError(
            f"A convolutional network needs images [height, width, channels] of at least {smallest} x {smallest} pixels; "
            f"environment {spec.name!r} shows observations of shape {shape}. Choose model 'mlp', or fewer filters."
        )
