"""Schedules: their values at the beginning, the middle, the end and beyond."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab.schedules import Constant, Exponential, Linear, as_schedule

COUNTS = [0, 5, 10, 11, 2**40]
KINDS = {
    "int": int,
    "numpy": np.int64,
    "int64 tensor": lambda count: tf.constant(count, tf.int64),
    "float tensor": lambda count: tf.constant(count, tf.float32),
}
VALUES = {
    Constant(0.3): [0.3, 0.3, 0.3, 0.3, 0.3],
    Linear(1.0, 0.2, 10): [1.0, 0.6, 0.2, 0.2, 0.2],
    Linear(-1.0, 3.0, 10): [-1.0, 1.0, 3.0, 3.0, 3.0],
    Exponential(1.0, 0.01, 10): [1.0, 0.1, 0.01, 0.01, 0.01],
    Exponential(2.0, 8.0, 10): [2.0, 4.0, 8.0, 8.0, 8.0],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("schedule", "expected"), VALUES.items(), ids=str)
def test_values(schedule, expected, kind):
    values = [schedule(KINDS[kind](count)) for count in COUNTS]
    assert {value.dtype for value in values} == {tf.float32}
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_values_by_every_execution(compiled):
    at = compiled(lambda counts: [schedule(counts) + tf.zeros(len(COUNTS)) for schedule in VALUES])
    np.testing.assert_allclose(at(tf.constant(COUNTS, tf.int64)), list(VALUES.values()), rtol=1e-6)


def test_one_step_is_the_shortest_schedule():
    np.testing.assert_allclose([Linear(1.0, 0.0, 1)(count) for count in range(3)], [1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Linear, (1.0, 0.0, 0)),
        (Exponential, (1.0, 0.1, 0)),
        (Exponential, (0.0, 0.1, 5)),
        (Exponential, (1.0, 0.0, 5)),
        (Exponential, (1.0, -1.0, 5)),
    ],
)
def test_impossible_schedules_are_refused(kind, arguments):
    with pytest.raises(ValueError, match="must be"):
        kind(*arguments)


def test_a_plain_number_is_a_constant_schedule():
    schedule = Linear(1.0, 0.0, 3)
    assert as_schedule(schedule) is schedule
    assert as_schedule(2) == Constant(2.0)
