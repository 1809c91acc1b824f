"""The Model contract: any `keras.Model` is a model; a model plugin builds one for an environment."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from agentlab.algorithms.minibatches import merge_time
from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import FINITE
from agentlab.tensors.traced_calls import traced_anew
from agentlab.types import Nest, Tensor

Substitutes: TypeAlias = Sequence[tuple[keras.Variable, Tensor]]  # variables, and the values that they have in a pass


class RecurrentModel(keras.Model, abc.ABC):
    """A Keras model that carries a state from step to step: called with `(observation, state)`, it returns `(output, state)`.

    The loop resets the state of a row where its episode ended.
    """

    @abc.abstractmethod
    def initial_state(self, batch_size: int) -> Nest:
        """Returns the state before the first step: any structure of tensors `[batch_size, ...]`."""

    def state_ranges(self) -> Nest:
        """Returns a structure like a state, of an `agentlab.system.ranges.Range` for each tensor; by default all are finite.

        A checkpoint whose state holds other numbers is refused. See `agentlab.system.ranges.Range`.
        """
        return tf.nest.map_structure(lambda _: FINITE, self.initial_state(1))

    @abc.abstractmethod
    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`, and the state after them, shaped like `state`."""

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[N, T, ..., K]` for sequences of observations, and the state after them.

        By default the step is repeated in a loop, which compiles equally fast for any T. Override it if all steps can be
        computed at once.

        Args:
            observation: `[N, T, *O]`.
            state: before the first step, `[N, ...]`.
            begun: `[N, T]` bool, True where an episode begins: the state is reset before that step.
            training: whether layers such as dropout are in training mode.
        """
        return unroll_steps(self, observation, state, begun, training)


def unroll_steps(
    model: RecurrentModel, observation: Nest, state: Nest, begun: Tensor, training: bool = False
) -> tuple[Tensor, Nest]:
    """Returns what `RecurrentModel.unroll` does, one step after the other."""

    def step(seen: Nest, before: Nest) -> tuple[Tensor, Nest]:
        return model(seen, before, training=training)

    return _repeat_step(step, model.initial_state(begun.shape[0]), observation, state, begun)


def _repeat_step(
    step: Callable[[Nest, Nest], tuple[Nest, Nest]], fresh: Nest, observation: Nest, state: Nest, begun: Tensor
) -> tuple[Nest, Nest]:
    """Returns what `step` returns for each step of sequences, leaves `[N, T, ...]`, and the state after the last one.

    Args:
        step: from observations `[N, *O]` and the state before them to a nest of tensors `[N, ...]` and the state after them.
        fresh: the state where an episode begins, `[N, ...]`.
        observation: `[N, T, *O]`.
        state: before the first step, `[N, ...]`.
        begun: `[N, T]` bool, where an episode begins.
    """
    # Leaves [T, N, ...], so that a step is one gather.
    length = begun.shape[1]
    by_time = tf.nest.map_structure(_time_major, (observation, begun))

    def at(index: int | Tensor, carry: Nest) -> tuple[Nest, Nest]:
        seen, starts = tf.nest.map_structure(lambda leaf: tf.gather(leaf, index), by_time)
        return step(seen, tf.nest.map_structure(lambda new, old: where_rows(starts, new, old), fresh, carry))

    def blank(leaf: Tensor) -> tf.TensorArray:
        return tf.TensorArray(leaf.dtype, size=length, element_shape=leaf.shape).write(0, leaf)

    # The first step tells the shapes of the results; the others are a loop of the graph.
    first, carry = at(tf.constant(0), state)
    results = tf.nest.map_structure(blank, first)

    def body(index: int | Tensor, results: Nest, carry: Nest) -> tuple[Tensor, Nest, Nest]:
        result, carry = at(index, carry)
        results = tf.nest.map_structure(lambda written, leaf: written.write(index, leaf), results, result)
        return index + 1, results, carry

    start = (tf.constant(1), results, carry)
    _, results, carry = tf.while_loop(lambda index, *_: index < length, body, start, maximum_iterations=length - 1)
    return tf.nest.map_structure(lambda written: _time_major(written.stack()), results), carry


def _time_major(tensor: Tensor) -> Tensor:
    """Returns a tensor with its first two axes swapped."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


class Network(abc.ABC):
    """A Keras model as the loop sees it: every model has a state, which is `()` for most.

    Only a pass that is learned from changes variables of the model: in training mode, those such as moving statistics.

    Attributes:
        model: the Keras model.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @abc.abstractmethod
    def initial_state(self, rows: int) -> Nest:
        """Returns the state before the first step, tensors `[rows, ...]`."""

    @abc.abstractmethod
    def state_ranges(self) -> Nest:
        """Returns the ranges of the numbers in the state, see `RecurrentModel.state_ranges`."""

    def __call__(self, observation: Nest, state: Nest = (), training: bool = False) -> tuple[Tensor, Nest]:
        """Returns the outputs `[B, ..., K]` for observations `[B, *O]`, and the state after them; traceable."""
        return self.call(observation, state, training=True) if training else self.infer(observation, state)

    def infer(self, observation: Nest, state: Nest = (), variables: Substitutes = ()) -> tuple[Tensor, Nest]:
        """Calls the model outside training, with other values for some of its `variables`."""
        with traced_anew(self.model), keras.StatelessScope(variables, initialize_variables=False):
            return self.call(observation, state, training=False)

    def unroll(
        self, observation: Nest, state: Nest, begun: Tensor, training: bool = False, variables: Substitutes = ()
    ) -> tuple[Tensor, Nest]:
        """Returns the outputs `[N, T, ..., K]` for sequences `[N, T, *O]`; see `RecurrentModel.unroll`."""
        if training:
            return self._unroll(observation, state, begun, training=True)
        with traced_anew(self.model), keras.StatelessScope(variables, initialize_variables=False):
            return self._unroll(observation, state, begun, training=False)

    def unroll_as_acted(self, observation: Nest, state: Nest, begun: Tensor) -> tuple[Tensor, Nest]:
        """As `unroll`, to learn from what was done: for gradients, but with layers such as dropout as they are in acting.

        So the outputs are those that were acted on, as long as no weight has changed: policy gradients compare the two. The
        losses that layers add count, and statistics such as batch normalization's stay as they are.
        """
        return self._unroll(observation, state, begun, training=False)

    def unroll_onward(
        self, observation: Nest, next_observation: Nest, state: Nest, begun: Tensor, variables: Substitutes = ()
    ) -> tuple[Tensor, Tensor]:
        """Returns the outputs for sequences, and for what each of their steps led to, `[N, T, ..., K]` each; outside training.

        What a step led to is seen with the state after that step, also where the episode ended there.

        Args:
            observation: `[N, T, *O]`.
            next_observation: `[N, T, *O]`, what the actions led to, before any reset.
            state: before the first step, `[N, ...]`.
            begun: `[N, T]` bool, where an episode begins.
            variables: as of `infer`.
        """
        with traced_anew(self.model), keras.StatelessScope(variables, initialize_variables=False):
            outputs, after = self._unroll_with_states(observation, state, begun)
            seen, before = merge_time((next_observation, after))
            beyond, _ = self.call(seen, before, training=False)
        return outputs, tf.reshape(beyond, outputs.shape)

    @abc.abstractmethod
    def _unroll_with_states(self, observation: Nest, state: Nest, begun: Tensor) -> tuple[Tensor, Nest]:
        """Calls the model on sequences, and returns the outputs and the states after each step, leaves `[N, T, ...]`."""

    @abc.abstractmethod
    def call(self, observation: Nest, state: Nest, training: bool) -> tuple[Tensor, Nest]:
        """Calls the model directly: its layers may change its variables and build it."""

    @abc.abstractmethod
    def _unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool) -> tuple[Tensor, Nest]:
        """Calls the model on sequences."""

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns `state` with the rows reset in which an episode has begun (`[B]` bool); traceable."""
        fresh = self.initial_state(begun.shape[0])
        return tf.nest.map_structure(lambda new, old: where_rows(begun, new, old), fresh, state)


class _Plain(Network):
    """A model without a state."""

    def initial_state(self, rows: int) -> Nest:
        return ()

    def state_ranges(self) -> Nest:
        return ()

    def call(self, observation: Nest, state: Nest, training: bool) -> tuple[Tensor, Nest]:
        return self.model(observation, training=training), ()

    def _unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool) -> tuple[Tensor, Nest]:
        output = self.model(merge_time(observation), training=training)
        return tf.reshape(output, [*begun.shape, *output.shape[1:]]), ()

    def _unroll_with_states(self, observation: Nest, state: Nest, begun: Tensor) -> tuple[Tensor, Nest]:
        return self._unroll(observation, state, begun, training=False)


class _Recurrent(Network):
    """A model that carries a state."""

    model: RecurrentModel

    def initial_state(self, rows: int) -> Nest:
        return self.model.initial_state(rows)

    def state_ranges(self) -> Nest:
        return self.model.state_ranges()

    def call(self, observation: Nest, state: Nest, training: bool) -> tuple[Tensor, Nest]:
        return self.model(observation, state, training=training)

    def _unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool) -> tuple[Tensor, Nest]:
        return self.model.unroll(observation, state, begun, training)

    def _unroll_with_states(self, observation: Nest, state: Nest, begun: Tensor) -> tuple[Tensor, Nest]:
        def step(seen: Nest, before: Nest) -> tuple[Nest, Nest]:
            output, after = self.model(seen, before, training=False)
            return (output, after), after

        fresh = self.model.initial_state(begun.shape[0])
        return _repeat_step(step, fresh, observation, state, begun)[0]


@functools.singledispatch
def as_network(model: keras.Model) -> Network:
    """Returns a Keras model as the loop sees it; what each kind of model is to the loop is registered here."""
    return _Plain(model)


as_network.register(RecurrentModel, _Recurrent)


def infer(model: keras.Model, observation: Nest, state: Nest = (), variables: Substitutes = ()) -> tuple[Tensor, Nest]:
    """Calls a model outside training: to act, evaluate or bootstrap. No variable changes, whatever its layers do. Traceable.

    Args:
        model: built.
        observation: `[B, *O]`.
        state: the model's own `[B, ...]`; `()` for a model without.
        variables: pairs of a variable of the model and the value to use for it in this pass.

    Returns:
        The outputs `[B, ..., K]`, and the state after them.
    """
    return as_network(model).infer(observation, state, variables)


def where_rows(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Returns `new` `[B, ...]` in the `rows` (`[B]` bool) that are True, and `old` elsewhere; traceable."""
    return tf.where(tf.reshape(rows, [-1] + [1] * (len(new.shape) - 1)), new, old)


class ModelBuilder(abc.ABC):
    """Builds a Keras model for an environment; settings are constructor arguments."""

    @abc.abstractmethod
    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        """Returns a model from observations `[B, *O]` to outputs `[B, ..., num_outputs]`: Sequential, Functional or subclassed.

        The axes in between are those of an action with several choices, such as one for each position of a text.
        """
