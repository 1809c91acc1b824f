"""Dense layers with dropout and normalization between them."""

from __future__ import annotations

from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import seeds
from agentlab.tensors import keras_names, noise
from agentlab_models.heads import Dense

NORMALIZATIONS = ("batch", "layer")


@keras.saving.register_keras_serializable(package="agentlab_models")
class SeededDropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) that draws from the seed of the call under way, see `agentlab.tensors.noise`.

    So it drops wherever a model learns or explores: also in a target network that is asked for what to learn, as DroQ needs
    it. Where the call is to be free of noise, as in evaluation, it drops nothing. The draws are the same by every execution.

    Args:
        rate: share of the inputs that are set to 0, at least 0 and less than 1; the others are scaled up by 1 / (1 - rate).
        stream: name of its draws, another for each layer of a model; also the layer's own.
        keras_arguments: as of any Keras layer.
    """

    def __init__(self, rate: float, stream: str, **keras_arguments: Any) -> None:
        super().__init__(**{"name": stream, **keras_arguments})
        self.rate = rate
        self.stream = stream

    def call(self, inputs: Any) -> Any:
        """Returns `[N, F]`, the inputs of which some are 0."""
        seed = noise.present_seed()
        if seed is None:
            return inputs
        drawn = seeds.uniform(seeds.child(seed, f"dropout/{self.stream}"), tf.shape(inputs))
        return tf.where(drawn < self.rate, tf.zeros([], inputs.dtype), inputs / (1.0 - self.rate))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "stream": self.stream}


@attrs.frozen
class RegularizedDense(Dense):
    """Makes dense layers, the hidden ones with dropout and normalization.

    Attributes:
        normalization: "layer", before the activation, as in DroQ (Hiraoka et al. 2022, arXiv:2110.02034); "batch", after it, as
            in CrossQ (Bhatt et al. 2024, arXiv:1902.05605); or None.
    """

    normalization: str | None = None

    def first(self) -> list[keras.layers.Layer]:
        """Returns what comes before the first layer: with "batch", normalization of the inputs."""
        return [keras.layers.BatchNormalization()] if self.normalization == "batch" else []

    def hidden(self, units: int, stream: str) -> list[keras.layers.Layer]:
        dropout = [SeededDropout(self.dropout, f"{stream}_dropout")] if self.dropout else []
        if self.normalization != "layer":
            return [self.layer(units, stream, self.activation), *dropout, *self.first()]
        activation = keras.layers.Activation(keras_names.activation(self.activation))
        return [self.layer(units, stream), *dropout, keras.layers.LayerNormalization(), activation]
