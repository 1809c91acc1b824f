"""A dense layer that explores by noise in its weights, whose amplitude is learned."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from agentlab import seeds
from agentlab.tensors import keras_names, noise
from agentlab.types import Seed, Tensor


@keras.saving.register_keras_serializable(package="agentlab_models")
class NoisyDense(keras.layers.Layer):
    """A dense layer with factorised Gaussian noise in its weights (Fortunato et al. 2018, arXiv:1706.10295).

    `y = (W + S * outer(f(e), f(d))) x + b + s * f(e)`, with `f(z) = sign(z) sqrt(|z|)` of standard normal d per input and e per
    output; W, b, S and s are learned. The rows of a batch share one draw, as in the paper's algorithm 1: to draw for every row
    takes longer than all else of an update. Where the call is to be free of noise (see `agentlab.tensors.noise`), as in
    evaluation, `y = W x + b`.

    Args:
        units: outputs.
        stream: name of its noise, another for each layer of a model; also the layer's own, which Keras would count
            up: TensorFlow rewrites graphs by the order of names, and sums in another order round otherwise.
        activation: by Keras's name; None for none.
        noise: at first, each S and s is this over the square root of the number of inputs; 0.5 in the paper.
    """

    def __init__(
        self, units: int, stream: str, activation: str | None = None, noise: float = 0.5, **keras_arguments: Any
    ) -> None:
        super().__init__(**{"name": stream, **keras_arguments})
        self.units = units
        self.stream = stream
        self.activation = keras_names.activation(activation or "linear")
        self.noise = noise

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # Initial weights and noise amplitudes as in section 3.2 of the paper, for factorised noise.
        inputs = input_shape[-1]
        bound = inputs**-0.5  # type: ignore[operator]
        around = keras.initializers.RandomUniform(-bound, bound)
        amplitude = keras.initializers.Constant(self.noise * bound)

        # Means, and the amplitudes of the noise around them.
        self.kernel = self.add_weight(shape=(inputs, self.units), initializer=around, name="kernel")
        self.bias = self.add_weight(
            shape=(self.units,), initializer=keras.initializers.RandomUniform(-bound, bound), name="bias"
        )
        self.kernel_noise = self.add_weight(shape=(inputs, self.units), initializer=amplitude, name="kernel_noise")
        self.bias_noise = self.add_weight(shape=(self.units,), initializer=amplitude, name="bias_noise")
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Returns the outputs `[N, units]` for inputs `[N, I]`."""
        inputs = tf.cast(inputs, self.compute_dtype)
        outputs = tf.matmul(inputs, self.kernel) + self.bias

        # [I] and [units] factors, one draw for all rows: the noise makes one other network of this one.
        seed = noise.present_seed()
        if seed is not None:
            of_inputs, of_outputs = (tf.cast(drawn, self.compute_dtype) for drawn in self.draw(seed))
            outputs += of_outputs * (tf.matmul(inputs * of_inputs, self.kernel_noise) + self.bias_noise)
        return self.activation(outputs)

    def draw(self, seed: Seed) -> tuple[Tensor, Tensor]:
        """Returns f(d) `[I]` and f(e) `[units]` for a seed `[2]` int64."""
        inputs = self.kernel.shape[0]
        drawn = seeds.normal(seeds.child(seed, f"noise/{self.stream}"), [inputs + self.units])
        scaled = tf.sign(drawn) * tf.sqrt(tf.abs(drawn))
        return scaled[:inputs], scaled[inputs:]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns `[N, units]`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.serialize(self.activation)
        settings = {"units": self.units, "stream": self.stream, "activation": activation, "noise": self.noise}
        return {**super().get_config(), **settings}
