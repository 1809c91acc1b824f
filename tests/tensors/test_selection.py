"""One of several values in each row, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab.tensors.execution import compiled
from agentlab.tensors.selection import selected

SHAPES = {"values": ((4, 3), (4,)), "distributions": ((4, 3, 5), (4,)), "sequences": ((2, 4, 3), (2, 4))}


@pytest.mark.parametrize("execution", ["eager", "graph", "xla"])
@pytest.mark.parametrize(("values_shape", "index_shape"), SHAPES.values(), ids=SHAPES)
def test_values_and_gradients_are_those_of_gather(values_shape, index_shape, execution):
    random = np.random.default_rng(0)
    values = tf.constant(random.normal(size=values_shape), tf.float32)
    index = tf.constant(random.integers(3, size=index_shape), tf.int64)

    def of(pick):
        def value_and_gradient(values, index):
            with tf.GradientTape() as tape:
                tape.watch(values)
                picked = pick(values, index)
                total = tf.reduce_sum(tf.square(picked))
            return picked, tape.gradient(total, values)

        return compiled(value_and_gradient, execution)(values, index)

    for ours, theirs in zip(of(selected), of(lambda *both: tf.gather(*both, batch_dims=len(index_shape))), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_not_selected_does_not_matter():
    values = tf.constant([[1.0, np.inf, -np.inf], [np.nan, 2.0, np.inf]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        picked = selected(values, tf.constant([0, 1]))
    np.testing.assert_array_equal(picked, [1.0, 2.0])
    np.testing.assert_array_equal(tape.gradient(picked, values), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
