"""Keras's losses, metrics, activations and initializers by name, from closed tables."""

import inspect

import keras
import numpy as np
import pytest

from agentlab import errors
from agentlab.tensors import keras_names

NOT_OF_ANSWERS = {"Metric", "metric", "Mean", "mean", "Sum", "sum", "MeanMetricWrapper", "mean_metric_wrapper"}
DOORS = ("get", "serialize", "deserialize")
FUNCTION = {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"}


@pytest.mark.parametrize("name", sorted(keras_names._metrics()))
def test_a_metric_is_the_one_that_keras_knows_by_the_name(name):
    known = keras_names._metrics()[name]
    assert name not in {*DOORS, *NOT_OF_ANSWERS}
    needed = [parameter for parameter in inspect.signature(known).parameters.values() if parameter.default is parameter.empty]
    if inspect.isfunction(known) or not needed:
        (metric,) = keras_names.metrics([name])
        try:
            theirs = keras.metrics.get(name)
        except ValueError:  # losses that Keras's metrics export without a name to get them by
            theirs = known
        assert type(metric) is (keras.metrics.MeanMetricWrapper if inspect.isfunction(known) else type(theirs))


@pytest.mark.parametrize("name", sorted(keras_names._losses()))
def test_a_loss_is_the_one_that_keras_knows_by_the_name(name):
    resolved = keras_names.loss(name)
    try:
        theirs = keras.losses.get(name)
    except ValueError:
        return
    assert resolved is theirs or type(resolved) is type(theirs)


def test_all_of_keras_activations_and_initializers_go_by_their_names():
    for name in ("relu", "tanh", "gelu", "linear", "softmax"):
        assert keras_names.activation(name) is keras.activations.get(name)
    for name in ("zeros", "Zeros", "glorot_uniform", "HeNormal", "orthogonal", "one", "normal"):
        assert type(keras_names.initializer(name)) is type(keras.initializers.get(name))


@pytest.mark.parametrize("door", [*DOORS, "Loss", "Metric", "package>name", "os", "", "__builtins__"])
def test_what_is_no_loss_metric_activation_or_initializer_is_told(door):
    for look_up in (
        keras_names.loss,
        lambda name: keras_names.metrics([name]),
        keras_names.activation,
        keras_names.initializer,
    ):
        with pytest.raises(errors.UsageError, match="Keras has no"):
            look_up(door)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (FUNCTION, "Keras has no metric"),
        (
            {"class_name": "MeanMetricWrapper", "config": {"name": "m", "fn": FUNCTION}},
            "Keras has no metric 'MeanMetricWrapper'",
        ),
        ({"class_name": "AUC", "config": {"thresholds": FUNCTION}}, "Argument 'thresholds' of Keras's metric 'AUC' is {"),
        ({"class_name": "AUC", "config": {"fn": 1}}, "No argument named 'fn'"),
        ({"class_name": "AUC", "config": []}, "Keras has no metric"),
        ({"name": "AUC", "num_thresholds": 10**9}, "is 1000000000; expected a number of at most 10,000"),
        ({"name": "AUC", "num_thresholds": float("nan")}, "is nan; expected a number"),
        ({"name": "AUC", "curve": "x" * 10**6}, "expected a number of at most 10,000, a short text"),
        ({"name": "AUC", "thresholds": [0.5] * 10**6}, "or a list of numbers"),
        ({"name": "MeanIoU"}, "does not take {}: TypeError"),
        ({"name": "MeanIoU", "num_classes": 9_999}, "ask for more than 16,777,216 numbers"),
        ({"name": ["AUC"]}, r"Keras has no metric \['AUC'\]"),
        ({}, "Keras has no metric None"),
        (5, "Keras has no metric 5"),
    ],
)
def test_a_table_names_a_metric_and_plain_arguments(table, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        keras_names.metrics([table])


def test_arguments_are_taken():
    auc, same, k = keras_names.metrics([
        {"name": "AUC", "num_thresholds": 10, "curve": "PR"},
        {"class_name": "AUC", "config": {"num_thresholds": 10, "name": "mine"}},
        {"name": "OneHotIoU", "num_classes": 3, "target_class_ids": [0, 2]},
    ])  # fmt: skip
    assert (auc.num_thresholds, same.name, k.target_class_ids) == (10, "mine", [0, 2])
    huber = keras_names.loss({"name": "Huber", "delta": 2})
    assert float(huber(np.array([[0.0]]), np.array([[10.0]]))) == 2 * 10 - 2**2 / 2


def test_objects_given_in_python_are_taken_as_they_are():
    def own(target, output):
        return target - output

    metric = keras.metrics.AUC()
    assert keras_names.loss(own) is own
    assert keras_names.metrics([metric])[0] is metric
    assert isinstance(keras_names.metrics([own, keras.metrics.AUC])[1], keras.metrics.AUC)
