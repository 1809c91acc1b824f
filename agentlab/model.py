"""The Model contract: any `keras.Model` is a model as it is; a model plugin builds one for an environment."""

from __future__ import annotations

import abc
import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.spec import EnvironmentSpec, blank, choices_of, describe
from agentlab.types import Nest, Tensor


class RecurrentModel(keras.Model, abc.ABC):
    """A Keras model that carries a state from step to step: called with `(observation, state)`, it returns `(output, state)`.

    The loop resets the state of a row where its episode ended.
    """

    @abc.abstractmethod
    def initial_state(self, batch_size: int) -> Nest:
        """Returns the state before the first step: any structure of tensors `[batch_size, ...]`."""

    @abc.abstractmethod
    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`, and the state after them, shaped like `state`."""

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[N, T, ..., K]` for sequences of observations, and the state after them.

        By default the step repeated, in a loop that compiles equally fast for any T; override it where all steps can be
        computed at once.

        Args:
            observation: `[N, T, *O]`.
            state: before the first step, `[N, ...]`.
            begun: `[N, T]` bool, where an episode begins: the state is reset before that step.
            training: whether layers such as dropout behave as in training.
        """
        return unroll_steps(self, observation, state, begun, training)


def unroll_steps(
    model: RecurrentModel, observation: Nest, state: Nest, begun: Tensor, training: bool = False
) -> tuple[Tensor, Nest]:
    """Returns what `RecurrentModel.unroll` does, one step after the other."""
    length = begun.shape[1]
    fresh = model.initial_state(begun.shape[0])
    by_time = tf.nest.map_structure(_time_major, (observation, begun))

    def step(index: Any, carry: Nest) -> tuple[Tensor, Nest]:
        seen, starts = tf.nest.map_structure(lambda leaf: tf.gather(leaf, index), by_time)
        before = tf.nest.map_structure(lambda new, old: where_rows(starts, new, old), fresh, carry)
        return model(seen, before, training=training)

    first, carry = step(tf.constant(0), state)
    outputs = tf.TensorArray(first.dtype, size=length, element_shape=first.shape).write(0, first)

    def body(index: Any, outputs: Any, carry: Nest) -> tuple[Any, Any, Nest]:
        output, carry = step(index, carry)
        return index + 1, outputs.write(index, output), carry

    start = (tf.constant(1), outputs, carry)
    _, outputs, carry = tf.while_loop(lambda index, *_: index < length, body, start, maximum_iterations=length - 1)
    return _time_major(outputs.stack()), carry


def _time_major(tensor: Tensor) -> Tensor:
    """Exchanges the first two axes."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


class Network(abc.ABC):
    """A Keras model as the loop sees it: every one has a state; of most it is `()`.

    Attributes:
        model: the Keras model.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @abc.abstractmethod
    def initial_state(self, rows: int) -> Nest:
        """Returns the state before the first step, tensors `[rows, ...]`."""

    @abc.abstractmethod
    def __call__(self, observation: Nest, state: Nest = (), training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`, and the state after them; traceable."""

    @abc.abstractmethod
    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[N, T, ..., K]` for sequences `[N, T, *O]`; see `RecurrentModel.unroll`."""

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns `state` with the rows reset in which an episode has begun (`[B]` bool); traceable."""
        fresh = self.initial_state(begun.shape[0])
        return tf.nest.map_structure(lambda new, old: where_rows(begun, new, old), fresh, state)


class _Plain(Network):
    """A model without a state."""

    def initial_state(self, rows: int) -> Nest:
        return ()

    def __call__(self, observation: Nest, state: Nest = (), training: bool = False) -> tuple[Tensor, Nest]:
        return self.model(observation, training=training), ()

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        rows, length = begun.shape
        merged = tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [rows * length, *leaf.shape[2:]]), observation)
        output = self.model(merged, training=training)
        return tf.reshape(output, [rows, length, *output.shape[1:]]), ()


class _Recurrent(Network):
    """A model that carries a state."""

    model: RecurrentModel

    def initial_state(self, rows: int) -> Nest:
        return self.model.initial_state(rows)

    def __call__(self, observation: Nest, state: Nest = (), training: bool = False) -> tuple[Tensor, Nest]:
        return self.model(observation, state, training=training)

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        return self.model.unroll(observation, state, begun, training)


def as_network(model: keras.Model) -> Network:
    """Returns a Keras model as the loop sees it; the one place that looks at what kind of model it is."""
    return _Recurrent(model) if isinstance(model, RecurrentModel) else _Plain(model)


def where_rows(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Returns `new` `[B, ...]` in the `rows` (`[B]` bool) that are True, and `old` elsewhere; traceable."""
    return tf.where(tf.reshape(rows, [-1] + [1] * (len(new.shape) - 1)), new, old)


class ModelBuilder(abc.ABC):
    """Builds a Keras model for an environment; settings are constructor arguments."""

    @abc.abstractmethod
    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        """Returns a model from observations `[B, *O]` to outputs `[B, ..., num_outputs]`: Sequential, Functional or subclassed.

        The axes between are those of an action that is made up of several choices, such as one per position of a text.
        """


def build_model(source: ModelBuilder | keras.Model, spec: EnvironmentSpec, num_outputs: int, seed: int) -> keras.Model:
    """Returns a built model whose outputs were checked: `source` itself, or what it builds with weights drawn from `seed`.

    Raises:
        UsageError: Keras runs on another backend than TensorFlow, or the model does not fit the environment.
    """
    if keras.backend.backend() != "tensorflow":
        raise errors.UsageError(
            f"Keras runs on the {keras.backend.backend()!r} backend; agentlab needs 'tensorflow': unset KERAS_BACKEND."
        )
    if not isinstance(source, (keras.Model, ModelBuilder)):
        raise errors.UsageError(f"The model is {source!r}; expected a keras.Model, or an agentlab.model.ModelBuilder.")
    with seeds.keras_initializers(seed):
        model = source if isinstance(source, keras.Model) else _built(source, spec, num_outputs)
        check_outputs(model, spec, num_outputs)
    return model


def _built(builder: ModelBuilder, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
    try:
        return builder.build(spec, num_outputs)
    except errors.AgentlabError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise errors.UsageError(
            f"{type(builder).__name__} can't build a model for {spec.name!r}: {type(error).__name__}: {reason}. "
            "Change the model's settings."
        ) from error


@attrs.define(eq=False)
class _Budget:
    """How many elements of weights a thread may still add, of a limit, by Keras's `original` function."""

    limit: int
    left: int
    thread: int
    original: Callable[..., Any]


_budgets: list[_Budget] = []  # of the blocks of `weights_within` under way, in all threads
_changing = threading.Lock()  # the list, and Keras, which counts while there are some


@contextlib.contextmanager
def weights_within(limit: int | None) -> Iterator[None]:
    """Refuses, in this thread, to build weights of more than `limit` elements together: a file that is said to hold them, one
    byte or more each, is smaller, so they are not allocated for it. None is no limit.

    Raises:
        UsageError: more are asked for.
    """
    if limit is None:
        yield
        return
    layer = keras.layers.Layer
    with _changing:
        budget = _Budget(limit, limit, threading.get_ident(), _budgets[0].original if _budgets else layer.add_weight)
        if not _budgets:
            layer.add_weight = _counting(budget.original)
        _budgets.append(budget)
    try:
        yield
    finally:
        with _changing:
            _budgets.remove(budget)
            if not _budgets:
                layer.add_weight = budget.original


def _counting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Returns Keras's `add_weight`, which then counts in the budgets of the thread that calls it."""

    def add_weight(self: Any, shape: Any = None, *arguments: Any, **named: Any) -> Any:
        for budget in [each for each in _budgets.copy() if each.thread == threading.get_ident()]:
            budget.left -= math.prod(shape or ())
            if budget.left < 0:
                raise errors.UsageError(
                    f"The run's config.json describes a model of more weights than its checkpoint of {budget.limit:,} bytes "
                    "can hold. Was one of them exchanged?"
                )
        return original(self, shape, *arguments, **named)

    return add_weight


def check_outputs(model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    """Calls the model once on a blank observation, which also builds it.

    Raises:
        UsageError: it refuses the observation, or its outputs are not float32 `[B, ..., num_outputs]`.
    """
    network = as_network(model)
    observation = tf.nest.map_structure(tf.constant, blank(spec.seen, 1))
    try:
        output, _ = network(observation, network.initial_state(1))
    except Exception as error:
        raise errors.UsageError(
            f"Model {model.name!r} refused an observation of {spec.name!r}, a {describe(spec.seen)}: {_reason(error)}. "
            "Expected a model that takes it; choose another model or change its input."
        ) from error
    _check_output(output, model, spec, num_outputs)


def _reason(error: Exception) -> str:
    """Returns the line that tells what went wrong: Keras begins with where, in bold, and with what it was about to do."""
    lines = [line for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception encountered when") and not line.endswith(":")]
    return (telling or lines or [type(error).__name__])[0].strip().rstrip(".")


def _check_output(output: Any, model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    expected = (1, *choices_of(spec.action), num_outputs)
    got = f"shape {tuple(output.shape)} and dtype {output.dtype.name}" if tf.is_tensor(output) else type(output).__name__
    if not tf.is_tensor(output) or tuple(output.shape) != expected or output.dtype != tf.float32:
        raise errors.UsageError(
            f"Model {model.name!r} answers one observation of {spec.name!r} with {got}; expected shape {expected} "
            f"and dtype float32, one output per action. Give its last layer {num_outputs} units."
        )
