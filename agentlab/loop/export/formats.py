"""The formats of whole policies: each writes one, and opens what it wrote to be run beside the agent; and all by name."""

from __future__ import annotations

import abc
import contextlib
import logging
import math
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import tensorflow as tf

from agentlab import errors
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export.format import Arrays, Format, Runner, Signature, UnsupportedError
from agentlab.loop.export.keras_network import KerasNetwork
from agentlab.loop.export.met import Met
from agentlab.loop.export.policy_function import PolicyFunction, described, policy_function
from agentlab.loop.export.single_precision import in_single_precision
from agentlab.loop.export.verification import verify

SIGNATURE = "act"
OPSET = 18  # of ONNX
MOST_WEIGHTS = 500_000_000  # of four bytes each: a graph has at most 2 GiB
RANDOM = "StatelessRandom"  # how the names of operations begin that draw random numbers
OPERATION = re.compile(r"\btf\.(\w+)\(tensor<(?:[^>]*x)?(\w+)>")  # in messages of LiteRT's converter, with its first dtype


class FunctionFormat(Format):
    """A format of whole policies, from observations to actions, as one function.

    Attributes:
        draws: whether it has the operations that draw random numbers.
    """

    draws: ClassVar[bool] = False

    def export(self, actor: PolicyActor, met: Iterable[Met], path: pathlib.Path) -> Signature:
        _check_size(actor)
        policy = policy_function(actor)
        self._check_drawing(policy)
        self.write(policy, path)
        verify(policy, self.open(path), actor, met)

        # Dtypes and shapes by name.
        outputs = zip(policy.outputs, policy.concrete.outputs, strict=True)
        inputs = {name: described(spec) for name, spec in policy.inputs.items()}
        return Signature(inputs, {name: described(tensor) for name, tensor in outputs})

    def _check_drawing(self, policy: PolicyFunction) -> None:
        """Raises UnsupportedError if the policy draws at random and the format can't."""
        drawing = [kind for kind in policy.operations() if kind.startswith(RANDOM)]
        if drawing and not self.draws:
            raise UnsupportedError(f"it has no operation {drawing[0]}, by which the sampler draws at random")

    @abc.abstractmethod
    def write(self, policy: PolicyFunction, path: pathlib.Path) -> None:
        """Writes a policy to a new file or directory.

        Raises:
            UnsupportedError: the format lacks something of it.
        """

    @abc.abstractmethod
    def open(self, path: pathlib.Path) -> Runner:
        """Returns what was written there as a function of arrays.

        Raises:
            UnsupportedError: it can't be opened.
        """


class SavedModel(FunctionFormat):
    """TensorFlow's own: a directory with the signature `act`."""

    name = "saved-model"
    draws = True

    def write(self, policy: PolicyFunction, path: pathlib.Path) -> None:
        module = tf.Module()
        concrete = policy.concrete

        def act(*values: Any) -> dict[str, Any]:
            return dict(zip(policy.outputs, concrete(*values), strict=True))

        # Nobody learns from an exported policy, and gradients of loops can't always be saved.
        module.act = tf.function(act, input_signature=list(policy.inputs.values()), autograph=False)
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        with _quiet("tensorflow", "absl"):
            tf.saved_model.save(module, str(path), signatures={SIGNATURE: module.act}, options=options)

    def open(self, path: pathlib.Path) -> Runner:
        function = tf.saved_model.load(str(path)).signatures[SIGNATURE]

        def run(inputs: Arrays) -> Arrays:
            outputs = function(**{name: tf.constant(array) for name, array in inputs.items()})
            return {name: tensor.numpy() for name, tensor in outputs.items()}

        return run


class Onnx(FunctionFormat):
    """ONNX: a file that onnxruntime runs, and many other programs."""

    name = "onnx"
    packages = ("tf2onnx", "onnxruntime")
    extra = "export-onnx"

    def write(self, policy: PolicyFunction, path: pathlib.Path) -> None:
        import onnx
        import tf2onnx

        # The names of the graph's tensors become those of the inputs and outputs.
        graph = policy.concrete.graph
        ends = {tensor.name: name for tensor, name in zip(policy.concrete.inputs, policy.inputs, strict=True)}
        ends |= {tensor.name: name for tensor, name in zip(policy.concrete.outputs, policy.outputs, strict=True)}
        names = [[tensor.name for tensor in tensors] for tensors in (policy.concrete.inputs, policy.concrete.outputs)]
        with _quiet("tensorflow", "tf2onnx"), _converting():
            model, _ = tf2onnx.convert.from_graph_def(
                graph.as_graph_def(), input_names=names[0], output_names=names[1], opset=OPSET, tensors_to_rename=ends
            )
        unknown = [node for node in model.graph.node if not onnx.defs.has(node.op_type, OPSET, node.domain)]
        if unknown:
            raise UnsupportedError(f"it has no operation {unknown[0].op_type}, as of {unknown[0].name!r}")
        onnx.save(model, str(path))

    def open(self, path: pathlib.Path) -> Runner:
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # of several kinds, of onnxruntime's own
            raise UnsupportedError(
                f"onnxruntime can't load what the converter made of it: {errors.first_line(error)}"
            ) from error
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


class LiteRT(FunctionFormat):
    """LiteRT, formerly TensorFlow Lite: a file for phones and small devices, of built-in operations only."""

    name = "litert"
    packages = ("ai_edge_litert",)
    extra = "export-litert"

    def write(self, policy: PolicyFunction, path: pathlib.Path) -> None:
        # By way of a SavedModel, whose signature it keeps.
        with tempfile.TemporaryDirectory() as folder, _quiet("tensorflow", "absl"):
            saved = pathlib.Path(folder) / "saved"
            SavedModel().write(in_single_precision(policy), saved)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[SIGNATURE])
            try:
                path.write_bytes(converter.convert())
            except Exception as error:  # the converter's own, of several kinds
                lacking = OPERATION.search(str(error))
                text = "it has no operation {} of {}".format(*lacking.groups()) if lacking else errors.first_line(error)
                raise UnsupportedError(text) from error

    def open(self, path: pathlib.Path) -> Runner:
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_path=str(path)).get_signature_runner(SIGNATURE)
        return lambda inputs: runner(**inputs)


@contextlib.contextmanager
def _converting() -> Iterator[None]:
    """Turns whatever a converter raises into an UnsupportedError."""
    try:
        yield
    except Exception as error:  # of many kinds, of its own
        raise UnsupportedError(f"the converter raised {errors.first_line(error)}") from error


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keeps back what converters log below errors."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_size(actor: PolicyActor) -> None:
    """Raises UnsupportedError if the weights, which become constants, don't fit into a graph."""
    weights = sum(math.prod(weight.shape) for weight in actor.policy.network.model.variables)
    if weights > MOST_WEIGHTS:
        raise UnsupportedError(f"the model has {weights:,} weights, and a graph of constants holds at most {MOST_WEIGHTS:,}")


FORMATS: dict[str, Format] = {kind.name: kind for kind in (SavedModel(), Onnx(), LiteRT(), KerasNetwork())}
