"""Adam: one pass over a variable and many change it to the same bits, and Keras's to the same numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab.tensors.adam import Adam
from agentlab.tensors.execution import compiled

STEPS = 30


def gradients(size: int) -> list[tf.Tensor]:
    """Returns gradients of very different sizes, `[size]` each."""
    generator = np.random.default_rng(size)
    scales = 10 ** generator.uniform(-6, 1, STEPS)
    return [tf.constant(generator.normal(size=size) * scale, tf.float32) for scale in scales]


def trained(optimizer: keras.optimizers.Adam, size: int, execution: str) -> np.ndarray:
    """Returns a variable and its moments, `[3, size]`, after some steps."""
    variable = tf.Variable(np.linspace(-1, 1, size), dtype=tf.float32)
    optimizer.build([variable])
    step = compiled(lambda gradient: optimizer.apply([gradient], [variable]), execution)
    for gradient in gradients(size):
        step(gradient)
    return np.stack([variable, optimizer._momentums[0], optimizer._velocities[0]])


@pytest.fixture(params=[1, 7, 84, 10_934])
def size(request) -> int:
    return request.param


@pytest.mark.parametrize("execution", ["eager", "graph", "xla"])
def test_one_pass_and_many_come_to_the_same_bits(size, execution, monkeypatch):
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda threads=threads: threads)
        results.append(trained(Adam(1e-3), size, execution))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_variable_is_changed_by_one_operation_where_no_thread_is_woken(threads, monkeypatch):
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: threads)
    optimizer, variable = Adam(1e-3), tf.Variable(tf.zeros(7))
    optimizer.build([variable])
    concrete = tf.function(lambda gradient: optimizer.apply([gradient], [variable])).get_concrete_function(tf.zeros(7))
    types = [operation.type for operation in concrete.graph.get_operations()]
    assert types.count("ResourceApplyAdam") == (1 if threads == 1 else 0)


def test_the_numbers_are_kerass(size):
    ours, theirs = (trained(kind(1e-3), size, "eager") for kind in (Adam, keras.optimizers.Adam))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_amsgrad_is_kerass_own(size):
    ours, theirs = (trained(kind(1e-3, amsgrad=True), size, "eager") for kind in (Adam, keras.optimizers.Adam))
    np.testing.assert_array_equal(ours, theirs)
