"""The memory that a model's forward pass takes, read from its traced graph without computing it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable

import keras
import tensorflow as tf

from agentlab import errors
from agentlab.system import free_memory
from agentlab.tensors.aliases import Nest, Tensor

LARGEST_OF_FILE = 2**30  # bytes of one observation's forward pass that a file may ask for
ADVICE = "lower the model's settings, or say that you trust the file: --trust, or trust=True in Python"

_BYTES: weakref.WeakKeyDictionary[keras.Model, int] = weakref.WeakKeyDictionary()


def trace(model: keras.Model, forward: Callable[[Nest], Nest], observation: tf.TensorSpec) -> tf.Graph:
    """Returns the shapes and dtypes of what `forward` returns for an observation, and takes down what it takes.

    Variables that the model makes meanwhile get their values afterwards, as in Keras's own symbolic calls; if it fails, they
    get none.
    """
    # Weights that the call would make are only described, so that a model too large for the memory can be refused.
    try:
        with keras.StatelessScope():
            try:
                graph = tf.function(forward, autograph=False).get_concrete_function(observation).graph
            except Exception:
                _forget_pending()  # before the end of the scope, which would allocate them
                raise
    except Exception:
        _forget_pending()  # if some could not be made, Keras would try again at the end of the next scope
        raise

    # The bytes of every tensor in the graph and the functions that it calls.
    functions = [function.graph for function in graph._functions.values() if hasattr(function, "graph")]
    _BYTES[model] = sum(map(_num_bytes, [graph, *functions]))
    return tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), graph.structured_outputs)


def _forget_pending() -> None:
    """Empties this thread's list of variables that wait for the end of a scope, for which Keras has no public door."""
    from keras.src.backend.common import global_state

    global_state.set_global_attribute("uninitialized_variables", [])


def check(model: keras.Model, rows: int, setting: str, of_file: bool = False) -> None:
    """Checks that there is memory for the forward pass of a model that was traced, on `rows` observations.

    Raises:
        UsageError: there is not, or it is more than a file may ask for.
    """
    taken = _BYTES.get(model, 0)
    if of_file and taken > LARGEST_OF_FILE:
        raise errors.UsageError(
            f"Model {model.name!r} takes {taken:,} bytes ({taken / 1e9:.1f} GB) for one observation; a file may ask for "
            f"{LARGEST_OF_FILE:,}: {ADVICE}."
        )
    free_memory.check_free(taken * rows, f"A forward pass of model {model.name!r} on {rows:,} observations", setting)


def _num_bytes(graph: tf.Graph) -> int:
    """Returns the bytes of all tensors of a graph; a dimension that is not known counts as 1."""
    return sum(_size(tensor) for operation in graph.get_operations() for tensor in operation.outputs)


def _size(tensor: Tensor) -> int:
    if tensor.shape.rank is None or tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    return math.prod(1 if size is None else size for size in tensor.shape) * tensor.dtype.size
