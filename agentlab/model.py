"""The Model contract: any `keras.Model` is a model as it is; a model plugin builds one for an environment."""

from __future__ import annotations

import abc
import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.checks.ranges import FINITE
from agentlab.spec import EnvironmentSpec
from agentlab.system import arrays, free_memory
from agentlab.system.tracebacks import place, told
from agentlab.tensors import keras_budget, model_footprint
from agentlab.tensors.keras_settings import check_backend, dtype_settings, keras_defaults
from agentlab.tensors.traced_calls import forget_traces, traced_anew

MOST_LAYERS = 1_000  # of a model that settings describe
MOST_WEIGHTS_OF_FILE = 2**26  # a quarter of a gigabyte
FLOAT = 4  # bytes
KEPT = 4  # numbers for each weight in training: itself, its gradient and an optimizer's two


class RecurrentModel(keras.Model, abc.ABC):
    """A Keras model that carries a state from step to step: called with `(observation, state)`, it returns `(output, state)`.

    The runtime resets the state of a row where its episode ended.
    """

    @abc.abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first step: any structure of tensors `[batch_size, ...]`."""

    def state_ranges(self) -> Any:
        """Returns a structure like a state, of an `agentlab.checks.ranges.Range` for each tensor; by default all are finite.

        A checkpoint whose state holds other numbers is refused.
        """
        return tf.nest.map_structure(lambda _: FINITE, self.initial_state(1))

    @abc.abstractmethod
    def call(self, observation: Any, state: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`, and the state after them, shaped like `state`."""


def initial_state(model: keras.Model, batch_size: int) -> Any:
    """Returns a model's state before the first step, `()` if it carries none."""
    return model.initial_state(batch_size) if isinstance(model, RecurrentModel) else ()


def state_ranges(model: keras.Model) -> Any:
    """Returns what the numbers of a model's state can be, a structure like it."""
    return model.state_ranges() if isinstance(model, RecurrentModel) else ()


def forward(model: keras.Model, observation: Any, state: Any, training: bool) -> tuple[Any, Any]:
    """Returns a model's output `[B, ..., K]` and its state afterwards; traceable.

    Only a pass in training changes the model's variables, such as moving statistics: it is the one that is learned from.
    """
    return _called(model, observation, state, training=True) if training else infer(model, observation, state)


def infer(
    model: keras.Model, observation: Any, state: Any = (), variables: Sequence[tuple[keras.Variable, Any]] = ()
) -> tuple[Any, Any]:
    """As `forward` outside training: to act, to judge, to bootstrap; traceable. Whatever the layers do, no variable changes.

    Args:
        model: built.
        observation: `[B, *O]`.
        state: the model's own `[B, ...]`; `()` for a model without.
        variables: pairs of a variable of the model and the value that it has in this pass instead of its own.
    """
    with traced_anew(model), keras.StatelessScope(variables, initialize_variables=False):
        return _called(model, observation, state, training=False)


def _called(model: keras.Model, observation: Any, state: Any, training: bool) -> tuple[Any, Any]:
    if isinstance(model, RecurrentModel):
        return model(observation, state, training=training)
    return model(observation, training=training), ()


def restarted(model: keras.Model, state: Any, ended: Any) -> Any:
    """Returns `state` with the rows begun anew whose episode `ended` (`[B]` bool); traceable."""
    if not isinstance(model, RecurrentModel):
        return ()
    fresh = model.initial_state(ended.shape[0])
    return tf.nest.map_structure(lambda new, old: where_rows(ended, new, old), fresh, state)


def where_rows(rows: Any, new: Any, old: Any) -> Any:
    """Returns `new` `[B, ...]` in the `rows` (`[B]` bool) that are True, and `old` elsewhere; traceable."""
    return tf.where(tf.reshape(rows, [-1] + [1] * (len(new.shape) - 1)), new, old)


class ModelBuilder(abc.ABC):
    """Builds a Keras model for an environment; settings are constructor arguments."""

    @abc.abstractmethod
    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        """Returns a model from observations `[B, *O]` to outputs `[B, ..., num_outputs]`: Sequential, Functional or subclassed.

        The axes between are those of an action that is made up of several choices, such as one per position of a text.
        """


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
    for check in _checks_here():
        check(model)
    return model


def _built_within_reason(
    builder: ModelBuilder, spec: EnvironmentSpec, num_outputs: int, seed: int, of_file: bool
) -> keras.Model:
    """Returns what a builder builds, its outputs checked, under Keras's defaults: the process decides not what a name means."""
    with keras_defaults(), _within_reason(of_file):
        with seeds.keras_initializers(seed):
            model = _built(builder, spec, num_outputs)
            output = _traced(model, spec)
        model_footprint.check(model, 1, "model", of_file)
        if output is not None:
            _check_built(model, output, spec, num_outputs)
            return model
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
            f"{type(builder).__name__} can't build a model for {spec.name!r}: {told(error)}. Change the model's settings."
        ) from error


_checks: list[tuple[int, Callable[[keras.Model], None]]] = []  # of the blocks of `weights_within` under way, by thread


@contextlib.contextmanager
def weights_within(limit: int | None, check: Callable[[keras.Model], None] | None = None) -> Iterator[None]:
    """Refuses, in this thread, to build weights of more than `limit` elements together: a file that is said to hold them has
    no more, so they are not allocated for it. None is no limit.

    Args:
        limit: of the elements.
        check: called with a model as soon as it is built, before a trainer allocates what it needs besides.

    Raises:
        UsageError: more are asked for.
    """
    if limit is None:
        yield
        return

    def refusal() -> errors.UsageError:
        return errors.UsageError(
            f"The run's config.json describes a model of more weights than its checkpoint of {limit:,} weights can hold. "
            "Was one of them exchanged?"
        )

    entry = (threading.get_ident(), check) if check is not None else None
    if entry is not None:
        _checks.append(entry)
    try:
        with keras_budget.at_most(refusal, weights=limit):
            yield
    finally:
        if entry is not None:
            _checks.remove(entry)


@contextlib.contextmanager
def _within_reason(of_file: bool) -> Iterator[None]:
    """Refuses to build weights that do not fit into memory with all that training keeps of each, or more layers than any model
    has; for a file without a checkpoint that would hold them, also more than most models have.

    Raises:
        UsageError: more are asked for.
    """
    free, limit = free_memory.free_bytes(), math.inf
    if free is not None:
        limit = free // (FLOAT * KEPT)
    if of_file and not keras_budget.is_limited("weights"):
        limit = min(limit, MOST_WEIGHTS_OF_FILE)

    def refusal() -> errors.UsageError:
        advice = model_footprint.ADVICE if of_file else "lower the model's settings"
        return errors.UsageError(
            f"The model's settings ask for more than {MOST_LAYERS:,} layers, or for more than {limit:,} weights, which is "
            f"{'what a file may ask for' if of_file else f'what the {free:,} bytes of free memory have room for'}: {advice}."
        )

    with keras_budget.at_most(refusal, weights=limit, layers=MOST_LAYERS):
        yield


def _traced(model: keras.Model, spec: EnvironmentSpec) -> tf.TensorSpec | None:
    """Returns what a model answers a blank observation, built and traced without being computed; None where that can't be told.

    Nothing of the size of its activations is allocated before they are counted.
    """

    def call(observation: Any) -> Any:
        return forward(model, observation, initial_state(model, 1), training=False)[0]

    try:
        output = model_footprint.trace(model, call, tf.TensorSpec((1, *spec.observation.shape), spec.observation.dtype))
    except Exception:  # what is wrong is told by a call; or it can only be called eagerly
        if keras_budget.refused():
            raise
        return None
    return output if isinstance(output, tf.TensorSpec) and output.shape.is_fully_defined() else None


def _checks_here() -> list[Callable[[keras.Model], None]]:
    return [check for thread, check in _checks.copy() if thread == threading.get_ident()]


def check_outputs(model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    """Calls the model once on a blank observation, which also builds it.

    Raises:
        UsageError: it refuses the observation, its outputs are not float32 `[B, ..., num_outputs]`, or no checkpoint can hold
            its weights.
    """
    shape = (1, *spec.observation.shape)
    try:
        output, _ = _called(model, tf.zeros(shape, spec.observation.dtype), initial_state(model, 1), training=False)
    except Exception as error:
        reason = _reason(error) + place(error)
        raise errors.UsageError(
            f"Model {model.name!r} refused an observation of shape {shape} and dtype {spec.observation.dtype} "
            f"from {spec.name!r}: {reason}. Expected a model that takes it; choose another model or change its input."
        ) from error
    _check_built(model, output, spec, num_outputs)


def _check_built(model: keras.Model, output: Any, spec: EnvironmentSpec, num_outputs: int) -> None:
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


def _check_output(output: Any, model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    expected = (1, *spec.action.choices, num_outputs)
    is_tensor = tf.is_tensor(output) or isinstance(output, tf.TensorSpec)
    got = f"shape {tuple(output.shape)} and dtype {output.dtype.name}" if is_tensor else type(output).__name__
    if not is_tensor or tuple(output.shape) != expected:
        raise errors.UsageError(
            f"Model {model.name!r} answers one observation of {spec.name!r} with {got}; expected shape {expected} "
            f"and dtype float32, one output per action. Give its last layer {num_outputs} units."
        )
    if output.dtype != tf.float32:
        raise errors.UsageError(
            f"Model {model.name!r} answers one observation of {spec.name!r} with {got}; expected dtype float32. "
            f"{dtype_settings(output.dtype.name)}Give its last layer dtype='float32'."
        )
