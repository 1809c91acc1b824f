"""The convolutional network of the DQN papers: strided convolutions without pooling."""

from __future__ import annotations

from typing import Literal

import attrs
import keras
import numpy as np

from agentlab import errors
from agentlab.fields import optional_positive
from agentlab.model import ModelBuilder
from agentlab.spec import Array, EnvironmentSpec, array_of
from agentlab_models.heads import Dense, dense_layers
from agentlab_models.styles import sequential


@attrs.frozen
class NatureCNN(ModelBuilder):
    """Convolutions with strides, then dense layers; by default the network of Mnih et al. (2015), doi:10.1038/nature14236.

    Pixels are divided by the largest value that they can take.

    Attributes:
        convolutions: of each, its filters, the pixels of their side, and the stride.
        hidden_units: units of each hidden layer after them.
        channels: "last" for images [height, width, channels]; "first" for [channels, height, width], as of stacked frames;
            "auto" for whichever of the two axes is shorter.
        dueling: the last hidden layer is there twice, for the value of the state and for the advantages of actions (Wang et al.
            2016, arXiv:1511.06581).
        noise: amplitude at first of the noise in the dense layers' weights, by which the model explores (Fortunato et al. 2018,
            arXiv:1706.10295); 0.5 in the paper, None for none.
    """

    convolutions: tuple[tuple[int, ...], ...] = attrs.field(default=((32, 8, 4), (64, 4, 2), (64, 3, 1)))
    hidden_units: tuple[int, ...] = attrs.field(
        default=(512,), validator=attrs.validators.deep_iterable(attrs.validators.ge(1))
    )
    channels: Literal["last", "first", "auto"] = "last"
    dueling: bool = False
    noise: float | None = optional_positive(None)

    def __attrs_post_init__(self) -> None:
        if any(len(convolution) != 3 or min(convolution) < 1 for convolution in self.convolutions):
            raise ValueError(f"'convolutions' must be lists of filters, side and stride, each at least 1: {self.convolutions}")

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        space = self._check(spec)
        layers: list[keras.layers.Layer] = [keras.layers.Permute((2, 3, 1))] if self._are_first(space) else []
        layers.append(keras.layers.Rescaling(1.0 / np.max(space.maximum).item()))
        for filters, side, stride in self.convolutions:
            layers.append(keras.layers.Conv2D(filters, side, stride, activation="relu"))
        dense = Dense("relu", self.noise)
        layers += [keras.layers.Flatten(), *dense_layers(spec, num_outputs, self.hidden_units, dense, self.dueling)]
        return sequential(spec, layers)

    def _check(self, spec: EnvironmentSpec) -> Array:
        """Returns the space of observations that are images, large enough for every convolution to have a place.

        Raises:
            UsageError: they are not.
        """
        space = array_of(spec.seen, "A convolutional network", spec.name)

        # Each convolution needs a place to stand, so the smaller side decides.
        are_first = self._are_first(space)
        sides = space.shape[1:] if are_first else space.shape[:2]
        is_image = len(space.shape) == 3 and 0.0 < np.max(space.maximum) <= 65_535.0 and np.min(space.minimum) >= 0.0
        if not is_image or min(sides) < self._needed():
            order = "[channels, height, width]" if are_first else "[height, width, channels]"
            raise errors.UsageError(
                f"These convolutions need images {order} of numbers from 0 up and {self._needed()} pixels or more to a side; "
                f"environment {spec.name!r} shows a {_described(space)}. Choose model 'mlp', or set model.convolutions "
                "and model.channels."
            )
        return space

    def _are_first(self, space: Array) -> bool:
        """Returns whether the channels are the first axis of an image."""
        if self.channels == "auto":
            return len(space.shape) == 3 and space.shape[0] < space.shape[2]
        return self.channels == "first"

    def _needed(self) -> int:
        """Returns the smallest side, in pixels, that leaves one place for the last convolution."""
        needed = 1
        for _, width, stride in reversed(self.convolutions):
            needed = (needed - 1) * stride + width
        return needed


def _described(space: Array) -> str:
    return f"{space} in {np.min(space.minimum):g} to {np.max(space.maximum):g}"
