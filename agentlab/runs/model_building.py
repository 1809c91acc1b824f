"""Building models: within memory, and within limits if a file asks for them; their outputs are checked before any use."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.model import ModelBuilder, as_network
from agentlab.spec import EnvironmentSpec, blank, choices_of, describe, map_space
from agentlab.system import arrays, free_memory
from agentlab.system.tracebacks import describe_error, place
from agentlab.tensors import keras_budget, model_footprint
from agentlab.tensors.keras_settings import check_backend, dtype_settings, keras_defaults
from agentlab.tensors.traced_calls import forget_traces
from agentlab.types import Nest, Shape, Tensor

MOST_LAYERS = 1_000  # of a model that settings describe
MOST_COPIES = 100  # of a network, each a model
MOST_WEIGHTS_OF_FILE = 2**26  # a quarter of a gigabyte
FLOAT = 4  # bytes
COPIES = 4  # numbers for each weight in training: itself, its gradient and an optimizer's two


def build_model(
    source: ModelBuilder | keras.Model, spec: EnvironmentSpec, num_outputs: int, seed: int, of_file: bool = False
) -> keras.Model:
    """Returns a built model whose outputs were checked: `source` itself, or what it builds with weights drawn from `seed`.

    Args:
        source: a model, or what builds one.
        spec: of the environment.
        num_outputs: K.
        seed: of the run.
        of_file: whether the settings of `source` are those of a file.

    Raises:
        UsageError: Keras runs on another backend than TensorFlow, the model does not fit the environment, or it takes more
            memory than there is, or than a file may ask for.
    """
    check_backend()
    if not isinstance(source, (keras.Model, ModelBuilder)):
        raise errors.UsageError(f"The model is {source!r}; expected a keras.Model, or an agentlab.model.ModelBuilder.")
    if isinstance(source, keras.Model):
        with seeds.keras_initializers(seed):
            check_outputs(source, spec, num_outputs)
        model = source
    else:
        model = _built_within_reason(source, spec, num_outputs, seed, of_file)
    for entry in [entry for entry in _checks.copy() if entry[0] == threading.get_ident()]:
        _checks.remove(entry)
        entry[1](model)
    return model


def _built_within_reason(
    builder: ModelBuilder, spec: EnvironmentSpec, num_outputs: int, seed: int, of_file: bool
) -> keras.Model:
    """Builds a model and checks its outputs, under Keras's defaults rather than the settings of the process."""
    with keras_defaults(), within_reason(of_file):
        with seeds.keras_initializers(seed):
            model = _built(builder, spec, num_outputs)
            output = _traced(model, spec)

        # The footprint is known before any weight is allocated.
        model_footprint.check(model, 1, "model", of_file)
        if output is not None:
            _check_built(model, output, spec, num_outputs)
            return model

        # A model that can't be traced is built for real and called once.
        with seeds.keras_initializers(seed):  # again: what failed is half built
            model = _built(builder, spec, num_outputs)
            check_outputs(model, spec, num_outputs)
            return model


def _built(builder: ModelBuilder, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
    try:
        return builder.build(spec, num_outputs)
    except errors.AgentlabError:
        raise
    except Exception as error:
        raise errors.UsageError(
            f"{type(builder).__name__} can't build a model for {spec.name!r}: {describe_error(error)}. "
            "Change the model's settings."
        ) from error


_checks: list[tuple[int, Callable[[keras.Model], None]]] = []  # of the blocks of `weights_within` under way, by thread


@contextlib.contextmanager
def weights_within(limit: int | None, check: Callable[[keras.Model], None] | None = None) -> Iterator[None]:
    """Refuses, in this thread, to build weights of more than `limit` elements together: a file that is said to hold them has
    no more, so they are not allocated for it. None is no limit.

    Args:
        limit: of the elements.
        check: called with the first model as soon as it is built, before a trainer allocates what it needs besides: the one
            that acts.

    Raises:
        UsageError: more are asked for.
    """
    if limit is None:
        yield
        return

    def refusal() -> errors.UsageError:
        return errors.UsageError(
            f"The run's config.json describes a model of more weights than its checkpoint of {limit:,} weights can hold. "
            "Was one of them replaced?"
        )

    # A check of the built weights' names and shapes, for models of this thread only.
    entry = (threading.get_ident(), check) if check is not None else None
    if entry is not None:
        _checks.append(entry)
    try:
        with keras_budget.at_most(refusal, weights=limit):
            yield
    finally:
        if entry in _checks:
            _checks.remove(entry)


@contextlib.contextmanager
def within_reason(of_file: bool, layers: float = MOST_LAYERS) -> Iterator[None]:
    """Refuses to build weights that do not fit into memory with all that training keeps of each, or more layers than any model
    has; for a file without a checkpoint that would hold them, also more than most models have.

    Args:
        of_file: whether the settings are those of a file.
        layers: the most of them.

    Raises:
        UsageError: more are asked for.
    """
    # What is free has to hold each weight, its gradient and the optimizer's moments.
    free, limit = free_memory.free_bytes(), math.inf
    if free is not None:
        limit = free // (FLOAT * COPIES)
    if of_file and not keras_budget.is_limited("weights"):
        limit = min(limit, MOST_WEIGHTS_OF_FILE)

    def refusal() -> errors.UsageError:
        advice = model_footprint.ADVICE if of_file else "lower the model's settings"
        return errors.UsageError(
            f"The model's settings ask for more than {MOST_LAYERS:,} layers, or for more than {limit:,} weights, which is "
            f"{'what a file may ask for' if of_file else f'what the {free:,} bytes of free memory have room for'}: {advice}."
        )

    with keras_budget.at_most(refusal, weights=limit, layers=layers):
        yield


def _traced(model: keras.Model, spec: EnvironmentSpec) -> tf.TensorSpec | None:
    """Returns the outputs for a blank observation, traced without computing them; None if they are unknown.

    Nothing of the size of its activations is allocated before they are counted.
    """
    network = as_network(model)

    # [1, *O], described only: nothing is computed.
    blank_row = map_space(lambda space: tf.TensorSpec((1, *space.shape), space.dtype), spec.seen)

    def call(observation: Nest) -> Tensor:
        return network(observation, network.initial_state(1))[0]

    try:
        output = model_footprint.trace(model, call, blank_row)
    except Exception:  # a call reports what is wrong; or it can only be called eagerly
        if keras_budget.refused():
            raise
        return None
    return output if isinstance(output, tf.TensorSpec) and output.shape.is_fully_defined() else None


def check_outputs(model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    """Calls the model once on a blank observation, which also builds it.

    Raises:
        UsageError: it refuses the observation, its outputs are not float32 `[B, ..., num_outputs]`, or no checkpoint can hold
            its weights.
    """
    network = as_network(model)
    observation = tf.nest.map_structure(tf.constant, blank(spec.seen, 1))
    try:
        output, _ = network.call(observation, network.initial_state(1), training=False)
    except Exception as error:
        raise errors.UsageError(
            f"Model {model.name!r} refused an observation of {spec.name!r}, a {describe(spec.seen)}: {_reason(error)}"
            f"{place(error)}. Expected a model that takes it; choose another model or change its input."
        ) from error
    _check_built(model, output, spec, num_outputs)


def _check_built(model: keras.Model, output: Tensor, spec: EnvironmentSpec, num_outputs: int) -> None:
    """Has a model that was called once, or traced, forget how, and checks its weights and its output."""
    forget_traces(model)
    _check_weights(model)
    _check_output(output, model, spec, num_outputs)


def _check_weights(model: keras.Model) -> None:
    if odd := [variable for variable in model.variables if variable.dtype not in arrays.DTYPES]:
        raise errors.UsageError(
            f"Model {model.name!r} has weights in {odd[0].dtype}, such as {odd[0].path!r}; a checkpoint can't hold them. Give "
            "its layers dtype='float32'."
        )


def _reason(error: Exception) -> str:
    """Returns the line that tells what went wrong: Keras begins with where, in bold, and with what it was about to do."""
    lines = [line for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception encountered when") and not line.endswith(":")]
    return (telling or lines or [type(error).__name__])[0].strip().rstrip(".")


def _has_axes(output: Tensor, expected: Shape) -> bool:
    """Returns whether outputs have more axes than are expected: those of an observation that was not flattened."""
    return len(getattr(output, "shape", ())) > len(expected)


def _check_output(output: Tensor, model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    expected = (1, *choices_of(spec.action), num_outputs)
    is_tensor = tf.is_tensor(output) or isinstance(output, tf.TensorSpec)
    got = f"shape {tuple(output.shape)} and dtype {output.dtype.name}" if is_tensor else type(output).__name__
    if not is_tensor or tuple(output.shape) != expected:
        flatten = (
            "Put a Flatten layer before its last layer, and give that" if _has_axes(output, expected) else "Give its last layer"
        )
        raise errors.UsageError(
            f"Model {model.name!r} answers one observation of {spec.name!r} with {got}; expected shape {expected} "
            f"and dtype float32, one output per action. {flatten} {num_outputs} units."
        )
    if output.dtype != tf.float32:
        raise errors.UsageError(
            f"Model {model.name!r} answers one observation of {spec.name!r} with {got}; expected dtype float32. "
            f"{dtype_settings(output.dtype.name)}Give its last layer dtype='float32'."
        )
