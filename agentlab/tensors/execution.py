"""How a function is run: eager, as a graph, or through XLA; and a call that skips TensorFlow's Python-side bookkeeping."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import core
from tensorflow.python.eager.context import context

from agentlab.errors import AgentlabError, UsageError
from agentlab.tensors.aliases import Nest, Tensor

MODES = ("auto", "eager", "graph", "xla")
CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase", "For"}
ALIGNMENT = 64  # bytes, of the memory of a tensor
CALL = "StatefulPartitionedCall"
CALLS = {"PartitionedCall", CALL}


def _rewrites(fuse: bool) -> bytes:
    """Returns how TensorFlow may rewrite the graphs of `GraphCall`: without folding constants and rearranging arithmetic.

    Both move factors through sums and products, or don't, depending on what else reads them. The same update would then come to
    other last bits alone than in one call with a decision.

    Args:
        fuse: a layer's product, bias and activation into one kernel. Preparing it takes longer than a small batch does: a
            forward pass of 120-84 units on one row takes 37 us with it and 24 without, on 1,000 rows 346 and 481.
    """
    config = tf.compat.v1.ConfigProto()
    options = config.graph_options.rewrite_options
    options.constant_folding = options.arithmetic_optimization = options.OFF
    options.remapping = options.DEFAULT if fuse else options.OFF
    return config.SerializeToString()


REWRITES = {fuse: _rewrites(fuse) for fuse in (False, True)}


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


def use_threads(count: int) -> None:
    """Sets the threads an operation may use, for the whole process: for programs, before TensorFlow's first operation.

    Raises:
        UsageError: TensorFlow has run an operation in this process, with another number of threads.
    """
    # 0 leaves the choice to TensorFlow.
    if not count:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        used = tf.config.threading.get_intra_op_parallelism_threads()
        raise UsageError(
            f"threads is {count}, and TensorFlow has already started in this process with threads {used}, which can't be "
            f"changed. Set threads to {used} (0 takes it as it is), or start the run in a new process."
        ) from error


def compiled(function: Callable[..., Any], execution: str) -> Callable[..., Any]:
    """Returns `function` to be run by `execution`: itself for "eager", else in compiled form."""
    return function if execution == "eager" else Compiled(function, execution)


class Compiled:
    """A function run as a graph or through XLA, its Python `if` and `while` on tensors included.

    Converting control flow (AutoGraph) costs seconds for a whole loop, and hardly any part has some. So functions are traced
    plainly first; where Python meets a tensor's truth value, TensorFlow says so, and they are traced again with AutoGraph.

    Args:
        function: of tensors.
        execution: "graph" or "xla".
        signature: as of `tf.function`.
    """

    def __init__(self, function: Callable[..., Any], execution: str, signature: list[tf.TensorSpec] | None = None) -> None:
        self._options: dict[str, Any] = {"jit_compile": execution == "xla", "input_signature": signature}
        # TensorFlow counts traces by line of source, whatever object a method is of, and warns of too many: another run would
        # seem to retrace the last one's loop. A partial function is counted by itself.
        self._plain = functools.partial(function)
        self._function = tf.function(self._plain, autograph=False, **self._options)

    def __call__(self, *arguments: Nest) -> Any:
        """Runs the function."""
        return self._or_converted(lambda: self._function(*arguments))

    def concrete(self) -> Any:
        """Returns the traced function for the signature."""
        return self._or_converted(lambda: self._function.get_concrete_function())

    def trace_count(self) -> int:
        """Returns how often the function was traced; more than once per signature means that something recompiled it."""
        return self._function.experimental_get_tracing_count()

    def _or_converted(self, use: Callable[[], Any]) -> Any:
        try:
            return use()
        except tf.errors.OperatorNotAllowedInGraphError:
            self._function = tf.function(self._plain, autograph=True, **self._options)

        # Once more as AutoGraph converts it, with tf.cond and tf.while_loop in the place of Python's.
        try:
            return use()
        except AgentlabError as error:  # AutoGraph reraises it, with every line of Python on the way in its message
            raise _first(error) from None


def _first(error: BaseException) -> BaseException:
    """Returns the exception that was raised first of those of our own that lie behind `error`."""
    while isinstance(error.__context__, AgentlabError):
        error = error.__context__
    return error


def repeat(
    body: Callable[[Nest], Nest], carry: Nest, count: int | Tensor, stop: Callable[[Nest], Tensor] | None = None
) -> Nest:
    """Returns `carry` after `count` (int64 scalar) times `carry = body(carry)`: a loop of the graph, or of Python if eager.

    The count isn't a constant of the compiled program, as with `range`, for which XLA would recompile at every new count.

    Args:
        body: of the loop.
        carry: any structure of tensors.
        count: how often at most.
        stop: returns, from the carry, whether the loop ends before (a bool scalar); None if it never does.
    """
    autograph = tf.__internal__.autograph
    converted = body
    if not tf.executing_eagerly():  # then as converted as the caller, see `Compiled`
        converted = autograph.tf_convert(body, autograph.control_status_ctx())

    def goes_on(index: Any, held: Any) -> Any:
        return index < count if stop is None else (index < count) & ~stop(held)

    start = tf.constant(0, tf.int64)
    return tf.while_loop(goes_on, lambda index, held: (index + 1, converted(held)), (start, carry))[1]


class GraphCall:
    """A function of flat tensors, traced once for a signature and called with as little Python as TensorFlow allows.

    Calling a `tf.function` costs some 150 us of argument binding in Python, several times a small model's forward pass; the
    raw call operation, on an executor that stays on the calling thread, does not.

    Args:
        function: takes the tensors of the signature and returns a tensor or a tuple of tensors.
        signature: one `tf.TensorSpec` per argument.
        fuse: whether layers become single kernels, which is faster for batches of several hundred rows.
    """

    def __init__(self, function: Callable[..., Any], signature: Sequence[tf.TensorSpec], fuse: bool = False) -> None:
        def copying(*tensors: Tensor) -> Tensor:
            return function(*(tf.raw_ops.DeepCopy(x=tensor) for tensor in tensors))  # see `Inlet`

        self._concrete = Compiled(copying, "graph", list(signature)).concrete()
        self._lock = threading.Lock()
        # What the function takes: a tensor for each of the signature, and what it captured. What nothing reads stays as it is.
        inputs = self._concrete.inputs[: len(signature)]
        self._inlets = [(index, make_inlet()) for index, tensor in enumerate(inputs) if _is_read(tensor)]
        blank = [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in signature]
        self._arguments: list[Any] = [*blank, *self._concrete.captured_inputs]

        # Everything a call needs besides its arguments, as the runtime takes it: converting it at every call, as tf.raw_ops
        # does, takes a twentieth of a host step, and asking the context for its handle 5 us.
        self._handle, self._device = context()._handle, context().device_name
        self._num_outputs = len(self._concrete.outputs)
        self._attributes = (
            *("f", tf.compat.as_str(self._concrete.name)),
            *("Tin", [tensor.dtype.as_datatype_enum for tensor in self._concrete.inputs]),
            *("Tout", [tensor.dtype.as_datatype_enum for tensor in self._concrete.outputs]),
            *("config_proto", REWRITES[fuse]),
            *("executor_type", "SINGLE_THREADED_EXECUTOR" if _is_straight(self._concrete.graph) else ""),
        )

    def __call__(self, *arrays: Tensor) -> list[tf.Tensor]:
        """Returns the flat outputs for arrays or tensors that match the signature."""
        arguments = self._arguments
        with self._lock:  # another thread's array would get in between
            for index, inlet in self._inlets:
                arguments[index] = inlet.tensor(arrays[index])
            try:
                return pywrap_tfe.TFE_Py_Execute(
                    self._handle, self._device, CALL, arguments, self._attributes, self._num_outputs
                )
            except core._NotOkStatusException as error:
                raise core._status_to_exception(error) from None


def make_inlet() -> Inlet | CopiedInlet:
    """Returns what turns an input's arrays into tensors, as fast as the devices of this process allow."""
    return CopiedInlet() if tf.config.get_visible_devices("GPU") else Inlet()


class CopiedInlet:
    """Turns arrays into tensors of their own: a GPU may still be reading the last one when the next call is made."""

    def tensor(self, array: Tensor) -> Tensor:
        """Returns a tensor of the elements of `array`; `array` itself if it is a tensor."""
        return tf.constant(array) if isinstance(array, np.ndarray) else array


class Inlet:
    """An input's own memory, which a tensor shares: copying an array there takes 1 us, turning it into a tensor 17.

    Whatever may outlive the call must be a copy, lest the next call's array change it: an operation that hands a tensor on, as
    assigning it to a variable does, keeps the very memory.
    """

    def __init__(self) -> None:
        self._renew(np.zeros(0, np.uint8))

    def tensor(self, array: Tensor) -> Tensor:
        """Returns a tensor of the elements of `array`, good until the next call; `array` itself if it is a tensor."""
        if not isinstance(array, np.ndarray):
            return array
        if array.shape != self._shape or array.dtype is not self._dtype:
            self._renew(array)
        self._memory[...] = array
        return self._tensor

    def _renew(self, like: np.ndarray) -> None:
        self._shape, self._dtype = like.shape, like.dtype
        whole = np.empty(like.nbytes + ALIGNMENT, np.uint8)
        self._memory: np.ndarray = np.ndarray(like.shape, like.dtype, whole, -whole.ctypes.data % ALIGNMENT)
        self._tensor = tf.experimental.dlpack.from_dlpack(self._memory.__dlpack__())


def _is_read(tensor: tf.Tensor) -> bool:
    """Whether anything reads an input's copy, such as the step of a decision that nothing is drawn for."""
    (copy,) = tensor.consumers()
    return bool(copy.outputs[0].consumers())


def _is_straight(graph: tf.Graph) -> bool:
    """Whether a graph is free of control flow, which the single-threaded executor does not run, outside XLA clusters."""
    return not any(operation.type in CONTROL_FLOW for operation in operations_of(graph))


def operations_of(graph: tf.Graph) -> Iterator[tf.Operation]:
    """Yields the operations of a graph and of the graphs that it calls, without those of control flow and XLA clusters."""
    for operation in graph.get_operations():
        yield operation
        if operation.type in CALLS and not _is_cluster(operation):
            yield from operations_of(graph._get_function(operation.get_attr("f").name).graph)


def _is_cluster(operation: tf.Operation) -> bool:
    try:
        return bool(operation.get_attr("_XlaMustCompile"))
    except ValueError:
        return False
