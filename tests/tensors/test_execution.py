"""How functions are run: what TensorFlow is told of the functions of many runs in one process."""

import logging

import pytest
import tensorflow as tf

from agentlab.tensors.execution import compiled


class Doubler:
    def double(self, number):
        return number * 2


@pytest.fixture
def warnings(caplog, monkeypatch):
    """What TensorFlow logs, which it keeps from pytest's handler otherwise."""
    monkeypatch.setattr(tf.get_logger(), "propagate", True)
    caplog.set_level(logging.WARNING, "tensorflow")
    return lambda: [record.getMessage() for record in caplog.records if "retracing" in record.getMessage()]


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_runs_one_after_another_are_not_taken_for_one_that_is_traced_anew(warnings, mode):
    for _ in range(8):
        assert compiled(Doubler().double, mode)(tf.constant(2)).numpy() == 4
    assert warnings() == []


def test_one_function_that_is_traced_anew_at_each_call_is_still_warned_of(warnings):
    double = compiled(Doubler().double, "graph")
    for size in range(1, 9):
        double(tf.zeros([size]))
    assert double.trace_count() == 8
    assert len(warnings()) >= 1
