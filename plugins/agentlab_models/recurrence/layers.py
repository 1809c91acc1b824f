"""Recurrent Keras layers for symbols or features: LSTM, GRU and a stack of them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.types import Shape, Tensor
from agentlab_models.recurrence import gru_kernel, lstm_kernel, timesteps


def table_rows(table: Tensor, symbols: Tensor) -> Tensor:
    """Returns the rows `[..., F]` of `table` `[V, F]` for integer `symbols` `[...]`: their one-hot codes times the table.

    The gradient is a dense segment sum, several times faster than the product with the one-hot codes.
    """

    def gradient(rows: Tensor) -> Tensor:
        return tf.math.unsorted_segment_sum(timesteps.rows(rows), tf.reshape(symbols, [-1]), table.shape[0])

    return tf.custom_gradient(lambda table: (tf.gather(table, symbols), gradient))(table)


class RecurrentLayer(keras.layers.Layer, abc.ABC):
    """A recurrent layer whose weights have the names, shapes, order and initial distributions of Keras's own.

    Called on a batch, `layer(inputs, initial_state)` returns outputs and the final state; the state is a tuple of tensors
    `[B, units]`, zeros if none is given. `scan` is the same with time first, `step` a single position.

    Args:
        units: size of the state.
        num_symbols: V; inputs are then integers `[B, T]` from 0 to V - 1 and stand for one-hot codes. None for features
            `[B, T, F]` of the layer's dtype.
        return_sequences: whether a call returns the outputs of all positions `[B, T, units]`, or the last one's `[B, units]`.
        options: as of any Keras layer.

    Raises:
        UsageError: `units` or `num_symbols` is less than 1.
    """

    num_gates: ClassVar[int]
    num_states: ClassVar[int]

    def __init__(self, units: int, num_symbols: int | None = None, return_sequences: bool = False, **options: Any) -> None:
        super().__init__(**options)
        for name, size in (("units", units), ("num_symbols", num_symbols)):
            if size is not None and size < 1:
                raise errors.UsageError(f"{type(self).__name__} got {name}={size}; expected at least 1.")
        self.units = units
        self.num_symbols = num_symbols
        self.return_sequences = return_sequences

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights for inputs `[B, T]` of symbols or `[B, T, F]` of features.

        Raises:
            UsageError: the inputs have another rank.
        """
        rank = 3 if self.num_symbols is None else 2
        if len(input_shape) != rank:
            raise errors.UsageError(
                f"{type(self).__name__} got inputs of shape {tuple(input_shape)}; expected "
                f"{'features [B, T, F]; give num_symbols for symbols' if rank == 3 else 'symbols [B, T]'}."
            )

        # One product for all gates: [F, gates * units] and [units, gates * units].
        width = self.num_gates * self.units
        size = self.num_symbols or input_shape[-1]
        self.kernel = self.add_weight(shape=(size, width), initializer="glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, width), initializer="orthogonal", name="recurrent_kernel")
        self.bias = self._add_bias(width)

    def call(self, inputs: Tensor, initial_state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns outputs `[B, T, units]`, or `[B, units]` without `return_sequences`, and the final state."""
        state = self.zero_state(tf.shape(inputs)[0]) if initial_state is None else tuple(initial_state)
        outputs, state = self.scan(_exchange_axes(inputs), state, self.return_sequences)
        return (_exchange_axes(outputs) if self.return_sequences else outputs), state

    def zero_state(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Returns the state before the first position for `batch` sequences: zeros `[B, units]`."""
        return tuple(tf.zeros([batch, self.units], self.compute_dtype) for _ in range(self.num_states))

    @abc.abstractmethod
    def scan(
        self, inputs: Tensor, state: tuple[Tensor, ...], every_position: bool, keep: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns outputs `[T, B, units]`, or the last one's `[B, units]`, and the final state, for time-major inputs.

        Args:
            inputs: symbols `[T, B]` or features `[T, B, F]`.
            state: before the first position.
            every_position: whether to return the outputs of all positions.
            keep: `[T, B, 1]` of the layer's dtype, 0 where the state is reset before a position, else 1; None if it never is.
        """

    @abc.abstractmethod
    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns the output `[B, units]` and the state after one position: symbols `[B]` or features `[B, F]`."""

    def get_config(self) -> dict[str, Any]:
        settings = {"units": self.units, "num_symbols": self.num_symbols, "return_sequences": self.return_sequences}
        return {**super().get_config(), **settings}

    @abc.abstractmethod
    def _add_bias(self, width: int) -> Tensor:
        """Returns the bias weight; `width` is that of all gates."""

    def _project(self, inputs: Tensor, bias: Tensor) -> Tensor:
        """Returns inputs times the kernel, plus `bias`: one product for all positions, or one row of a table for each."""
        kernel = tf.convert_to_tensor(self.kernel)

        # A product with a one-hot code is a row of the kernel.
        if self.num_symbols is not None:
            return table_rows(kernel + bias, inputs)

        # [B, F] to [B, gates * units] of one position; [T, B, F] to [T, B, gates * units] as one product of all.
        if len(inputs.shape) == 2:
            return tf.matmul(inputs, kernel) + bias
        shape = tf.concat([tf.shape(inputs)[:-1], [kernel.shape[-1]]], axis=0)
        projected = tf.reshape(tf.matmul(timesteps.rows(inputs), kernel) + bias, shape)
        projected.set_shape([*inputs.shape[:-1], kernel.shape[-1]])
        return projected


@keras.saving.register_keras_serializable(package="agentlab_text")
class LSTM(RecurrentLayer):
    """A long short-term memory, as `keras.layers.LSTM` computes it; the state is (h, c)."""

    num_gates = 4
    num_states = 2

    def scan(
        self, inputs: Tensor, state: tuple[Tensor, ...], every_position: bool, keep: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, c = state
        kernel = tf.convert_to_tensor(self.recurrent_kernel)
        return lstm_kernel.scan(self._projected(inputs), kernel, (h, c), every_position, keep)

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, c = state
        return lstm_kernel.step(self._projected(inputs), tf.convert_to_tensor(self.recurrent_kernel), (h, c))

    def _projected(self, inputs: Tensor) -> Tensor:
        return self._project(inputs, tf.convert_to_tensor(self.bias))

    def _add_bias(self, width: int) -> Tensor:
        def forget_ones(shape: Shape, dtype: str | None = None) -> Tensor:
            """A forget gate that starts open (Jozefowicz et al. 2015)."""
            gate = tf.repeat(tf.constant([0, 1, 0, 0]), self.units)
            return tf.cast(tf.reshape(gate, shape), dtype)

        return self.add_weight(shape=(width,), initializer=forget_ones, name="bias")


@keras.saving.register_keras_serializable(package="agentlab_text")
class GRU(RecurrentLayer):
    """A gated recurrent unit, as `keras.layers.GRU` computes it with `reset_after=True`, its default; the state is (h,)."""

    num_gates = 3
    num_states = 1

    def scan(
        self, inputs: Tensor, state: tuple[Tensor, ...], every_position: bool, keep: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        input_bias, bias = tf.unstack(tf.convert_to_tensor(self.bias))
        kernel = tf.convert_to_tensor(self.recurrent_kernel)
        return gru_kernel.scan(self._project(inputs, input_bias), kernel, bias, (state[0],), every_position, keep)

    def step(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        input_bias, bias = tf.unstack(tf.convert_to_tensor(self.bias))
        kernel = tf.convert_to_tensor(self.recurrent_kernel)
        return gru_kernel.step(self._project(inputs, input_bias), kernel, bias, (state[0],))

    def _add_bias(self, width: int) -> Tensor:
        return self.add_weight(shape=(2, width), initializer="zeros", name="bias")


@keras.saving.register_keras_serializable(package="agentlab_text")
class UnitDropout(keras.layers.Layer):
    """Drops a fraction of the units in training, the same ones at all positions, and scales up the others.

    Gal and Ghahramani 2016, arXiv:1512.05287. A mask for each position takes several times as long to draw as an LSTM
    to compute. The bits are the same eagerly, as a graph and under XLA, which those of Keras's own are not.

    Args:
        rate: the fraction, 0 to less than 1.
        options: as of any Keras layer.
    """

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator() if rate else None

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns `inputs` `[..., B, units]`, in training with zeros for some units of each row."""
        if self.seed_generator is None or not training:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int64)
        is_kept = seeds.uniform(seed, tf.shape(inputs)[-2:]) >= self.rate
        return tf.where(is_kept, inputs / (1 - self.rate), tf.zeros_like(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package="agentlab_text")
class RecurrentStack(keras.layers.Layer):
    """Recurrent layers on top of each other, time-major between them.

    Called on a batch, `stack(inputs, initial_state)` returns the top layer's outputs and the final state; the state is a tuple
    with the state of each layer.

    Args:
        layers: from the bottom up; only the first may take symbols.
        return_sequences: whether a call returns the outputs of all positions `[B, T, units]`, or the last one's `[B, units]`.
        dropout: fraction of each layer's units that training leaves out, in what goes up but not in what is carried on
            (Zaremba, Sutskever and Vinyals 2014, arXiv:1409.2329), the same at all positions.
        options: as of any Keras layer.

    Raises:
        UsageError: there is no layer.
    """

    def __init__(
        self, layers: Sequence[RecurrentLayer], return_sequences: bool = False, dropout: float = 0.0, **options: Any
    ) -> None:
        super().__init__(**options)
        if not layers:
            raise errors.UsageError("RecurrentStack got no layers; expected at least one.")
        self.layers = list(layers)
        self.return_sequences = return_sequences
        self.dropout = UnitDropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds every layer for inputs `[B, T]` of symbols or `[B, T, F]` of features."""
        for layer in self.layers:
            if not layer.built:  # Keras restores layers built
                layer.build(input_shape)
            input_shape = (*input_shape[:2], layer.units)

    def call(
        self, inputs: Tensor, initial_state: tuple[Tensor, ...] | None = None, training: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns outputs `[B, T, units]`, or `[B, units]` without `return_sequences`, and the final state."""
        state = self.zero_state(tf.shape(inputs)[0]) if initial_state is None else tuple(initial_state)
        outputs, state = self.scan(_exchange_axes(inputs), state, self.return_sequences, training)
        return (_exchange_axes(outputs) if self.return_sequences else outputs), state

    def zero_state(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Returns the state before the first position for `batch` sequences."""
        return tuple(layer.zero_state(batch) for layer in self.layers)

    def scan(
        self,
        inputs: Tensor,
        state: tuple[Tensor, ...],
        every_position: bool,
        training: bool = False,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `RecurrentLayer.scan`, through all layers."""
        states = []
        for layer, before in zip(self.layers, state, strict=True):
            inputs, after = layer.scan(inputs, before, every_position or layer is not self.layers[-1], keep)
            inputs = self.dropout(inputs, training=training)
            states.append(after)
        return inputs, tuple(states)

    def step(self, inputs: Tensor, state: tuple[Tensor, ...], training: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `RecurrentLayer.step`, through all layers."""
        states = []
        for layer, before in zip(self.layers, state, strict=True):
            inputs, after = layer.step(inputs, before)
            inputs = self.dropout(inputs, training=training)
            states.append(after)
        return inputs, tuple(states)

    def get_config(self) -> dict[str, Any]:
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        settings = {"layers": layers, "return_sequences": self.return_sequences, "dropout": self.dropout.rate}
        return {**super().get_config(), **settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RecurrentStack:
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def _exchange_axes(tensor: Tensor) -> tf.Tensor:
    """Returns a batch-first tensor time-major, and the other way round."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])
