"""Layouts of several requests and distinguishable steps, for tests of memories."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.algorithms.minibatches import merge_time
from agentlab.memory import Layout, Memory, Request, UpdateSchedule
from agentlab.spec import EnvironmentSpec
from agentlab.types import Batch, Nest, Step, Tensor

LENGTH = 4  # of the sequences asked for
REQUESTS = (Request(), Request(priority=True), Request(length=LENGTH, order="all"), Request(length=LENGTH))


def layout_of(spec: EnvironmentSpec, request: Request, rows: int) -> Layout:
    """Returns a layout of outputs and states of small shapes, with updates when what is asked for has been collected."""
    period = rows * (request.length or 1) if request.order == "all" else rows
    output = tf.TensorSpec([5], tf.float32) if "output" in request.keep else ()
    state = (tf.TensorSpec([2], tf.float32), tf.TensorSpec([3], tf.float32)) if "state" in request.keep else ()
    return Layout(spec, rows, request, UpdateSchedule(period), output, state)


def is_built(memory: Memory, layout: Layout) -> bool:
    """Builds a memory; returns whether it hands out what the layout asks for."""
    try:
        memory.build(layout)
    except errors.UsageError:
        return False
    return True


def numbered(layout: Layout, count: int, begin: int = 0) -> Step:
    """Returns distinguishable steps: every leaf of step i holds i; each ends its episode.

    With every episode one step long, a memory that sums up several steps hands them out unchanged as well.
    """
    return steps_of(layout, np.arange(begin, begin + count))


def steps_of(layout: Layout, numbers: np.ndarray) -> Step:
    """Returns the steps of these `numbers` `[N]`, see `numbered`."""
    signature = layout.step_signature()

    def filled(signatures: Nest, values: np.ndarray) -> Nest:
        def leaf(spec: tf.TensorSpec) -> Tensor:
            column = values.reshape(-1, *[1] * len(spec.shape))
            return tf.constant(np.broadcast_to(column, (len(values), *spec.shape)).astype(spec.dtype.as_numpy_dtype))

        return tf.nest.map_structure(leaf, signatures)

    # Fractions of the number tell the leaves of one step apart.
    ones = np.ones(len(numbers))
    return Step(
        observation=filled(signature.observation, numbers),
        action=filled(signature.action, numbers % 5),
        reward=filled(signature.reward, numbers),
        discount=filled(signature.discount, 0.0 * ones),
        next_observation=filled(signature.next_observation, numbers + 0.5),
        ended=filled(signature.ended, ones),
        acted=filled(signature.acted, ones),
        target=filled(signature.target, numbers % 5),
        output=filled(signature.output, numbers + 0.25),
        state=filled(signature.state, numbers + 0.75),
    )


def rows_of(batch: Batch, layout: Layout) -> Batch:
    """Returns the rows `[N, ...]` of a batch that count, as arrays; sequences one after the other."""
    weight = weight_of(batch)
    values = [getattr(batch, name) for name in ("observation", "action", "reward", "discount", "next_observation")]
    values += [batch.ended, batch.acted, batch.target, batch.output, batch.state]
    if layout.request.length is not None:
        weight = tf.broadcast_to(tf.reshape(weight, [*weight.shape, *[1] * (2 - len(weight.shape))]), batch.reward.shape)
        values, weight = merge_time(values), merge_time(weight)
    counts = np.asarray(weight) > 0.0
    return Batch(*tf.nest.map_structure(lambda leaf: np.asarray(leaf)[counts], values))


def weight_of(batch: Batch) -> Tensor:
    """Returns the weights of a batch's rows, 1 where it has none."""
    return tf.ones_like(batch.reward) if isinstance(batch.weight, tuple) else batch.weight
