"""How a function is run: eager, as a graph, or through XLA; and a call that skips TensorFlow's Python-side bookkeeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

MODES = ("auto", "eager", "graph", "xla")
CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase", "For"}
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


def resolve(execution: str, model: keras.Model, gear: str = "host") -> str:
    """Returns "eager", "graph" or "xla" for `execution`, by rule if it is "auto".

    Around a host environment a graph is as fast as XLA and needs no compilation. Inside one compiled loop XLA is two to three
    times faster, but for convolutions on a CPU, which the graph's oneDNN kernels do many times faster.
    """
    if execution != "auto":
        return execution
    if gear == "host":
        return "graph"
    convolutional = any(type(layer).__name__.startswith(CONVOLUTIONS) for layer in model._flatten_layers())
    return "graph" if convolutional and not tf.config.list_physical_devices("GPU") else "xla"


def compiled(function: Callable[..., Any], execution: str) -> Callable[..., Any]:
    """Returns `function` to be run by `execution`: itself for "eager", else a `tf.function`, AutoGraph included."""
    if execution == "eager":
        return function
    return tf.function(function, jit_compile=execution == "xla")


class GraphCall:
    """A function of flat tensors, traced once for a signature and called with as little Python as TensorFlow allows.

    Calling a `tf.function` costs some 150 us of argument binding in Python, as much as a small model's forward pass; the raw
    call operation, on an executor that stays on the calling thread, does not.

    Args:
        function: takes the tensors of the signature and returns a tensor or a tuple of tensors.
        signature: one `tf.TensorSpec` per argument.
    """

    def __init__(self, function: Callable[..., Any], signature: Sequence[tf.TensorSpec]) -> None:
        self._function = tf.function(function, input_signature=list(signature))
        self._concrete = self._function.get_concrete_function()
        self._captures = list(self._concrete.captured_inputs)
        self._dtypes = [tensor.dtype for tensor in self._concrete.outputs]
        self._executor = "SINGLE_THREADED_EXECUTOR" if _is_straight(self._concrete.graph) else ""

    def __call__(self, *arrays: Any) -> list[tf.Tensor]:
        """Returns the flat outputs for arrays or tensors that match the signature."""
        return tf.raw_ops.StatefulPartitionedCall(
            args=[*arrays, *self._captures], Tout=self._dtypes, f=self._concrete, executor_type=self._executor
        )

    def trace_count(self) -> int:
        """Returns how often the function was traced."""
        return self._function.experimental_get_tracing_count()


def _is_straight(graph: tf.Graph) -> bool:
    """Whether a graph is free of control flow, which the single-threaded executor does not run, outside XLA clusters."""
    operations = graph.get_operations()
    return not any(
        operation.type in CONTROL_FLOW or (operation.type in CALLS and not _is_cluster(operation)) for operation in operations
    )


def _is_cluster(operation: tf.Operation) -> bool:
    try:
        return bool(operation.get_attr("_XlaMustCompile"))
    except ValueError:
        return False
