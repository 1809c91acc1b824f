"""Convolutional networks for images."""

from __future__ import annotations

import math

import attrs
import keras
import numpy as np

from agentlab import errors
from agentlab.fields import optional_positive
from agentlab.model import ModelBuilder
from agentlab.spec import EnvironmentSpec, array_of
from agentlab_models.heads import Dense, dense_layers
from agentlab_models.styles import Subclassed, functional, sequential


@attrs.frozen
class CNN(ModelBuilder):
    """A convolutional network: convolutions, each followed by pooling by 2; a hidden layer; one output per action.

    Attributes:
        filters: of each convolution.
        kernel_size: pixels of a filter's side.
        hidden_units: units of the layer after the convolutions.
        dropout: the share of hidden units dropped in training, 0 to less than 1.
        dueling: the hidden layer is there twice, for the value of the state and for the advantages of actions (Wang et al.
            2016, arXiv:1511.06581).
        noise: amplitude at first of the noise in the dense layers' weights, by which the model explores (Fortunato et al. 2018,
            arXiv:1706.10295); 0.5 in the paper, None for none.
    """

    filters: tuple[int, ...] = attrs.field(default=(32, 64), validator=attrs.validators.deep_iterable(attrs.validators.ge(1)))
    kernel_size: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    hidden_units: int = attrs.field(default=1_024, validator=attrs.validators.ge(1))
    dropout: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])
    dueling: bool = False
    noise: float | None = optional_positive(None)

    def layers(self, spec: EnvironmentSpec, num_outputs: int) -> list[keras.layers.Layer]:
        """Returns the layers, first to last.

        Raises:
            UsageError: the observation is no image large enough to be pooled.
        """
        check_image(spec, 2 ** len(self.filters))

        # Every block halves height and width, and then all features are flattened.
        layers = rescaled(spec)
        for filters in self.filters:
            layers += [
                keras.layers.Conv2D(filters, self.kernel_size, padding="same", activation="relu"),
                keras.layers.MaxPooling2D(),
            ]
        dense = Dense("relu", self.noise, self.dropout)
        return [*layers, keras.layers.Flatten(), *dense_layers(spec, num_outputs, (self.hidden_units,), dense, self.dueling)]

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


@attrs.frozen
class NormalizedCNN(ModelBuilder):
    """A deeper convolutional network with batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167).

    The first convolution is wide, and cheap on one channel; then come stages of 3 x 3 convolutions, with pooling by 2 between.

    Attributes:
        stem: filters of the first convolution, 5 x 5.
        stages: filters of the convolutions after it, one list per stage.
        dropout: the share of features dropped before the last layer in training, 0 to less than 1.
    """

    stem: int = attrs.field(default=32, validator=attrs.validators.ge(1))
    stages: tuple[tuple[int, ...], ...] = ((64, 64), (128,))
    dropout: float = attrs.field(default=0.3, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        check_image(spec, 2 ** (1 + len(self.stages)))
        layers = rescaled(spec) + _normalized(self.stem, 5, pooled=True)
        for stage in self.stages:
            for index, filters in enumerate(stage):
                layers += _normalized(filters, 3, pooled=index == len(stage) - 1)
        layers += [keras.layers.Flatten(), keras.layers.Dropout(self.dropout)]
        return sequential(spec, [*layers, keras.layers.Dense(num_outputs)])


def _normalized(filters: int, kernel_size: int, pooled: bool) -> list[keras.layers.Layer]:
    """Returns a convolution; pooling by 2 if it is wanted, which leaves a quarter to what follows; normalisation; and ReLU."""
    convolution = keras.layers.Conv2D(filters, kernel_size, padding="same", use_bias=False)
    pooling = [keras.layers.MaxPooling2D()] if pooled else []
    return [convolution, *pooling, keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU()]


def rescaled(spec: EnvironmentSpec) -> list[keras.layers.Layer]:
    """Returns the layer that makes whole numbers, as of pixels, floating-point ones of at most 1; none where they are that."""
    space = array_of(spec.seen, "A convolutional network", spec.name)
    if space.dtype.startswith("float"):
        return []
    largest = np.max(space.maximum).item()
    return [keras.layers.Rescaling(1.0 / largest if 0.0 < largest < math.inf else 1.0)]


def check_image(spec: EnvironmentSpec, smallest: int) -> None:
    """Checks that observations are images with sides of at least `smallest` pixels.

    Raises:
        UsageError: they are not.
    """
    shape = array_of(spec.seen, "A convolutional network", spec.name).shape
    if len(shape) != 3 or min(shape[:2]) < smallest:
        raise errors.UsageError(
            f"A convolutional network needs images [height, width, channels] of at least {smallest} x {smallest} pixels; "
            f"environment {spec.name!r} shows observations of shape {shape}. Choose model 'mlp', or fewer filters."
        )
