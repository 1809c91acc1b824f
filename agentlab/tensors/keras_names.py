"""Keras's losses, metrics, activations and initializers by name, from closed tables instead of Keras's deserialisation.

`keras.metrics.get` and its like build whatever a table names, functions of any module of Keras among it. What a file or a
command line names is looked up here instead, and gets plain arguments only.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import keras

from agentlab import errors
from agentlab.tensors import keras_budget
from agentlab.tensors.aliases import Tensor

ABBREVIATIONS = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
}
LOSS_ABBREVIATIONS = {**ABBREVIATIONS, "kld": "kl_divergence"}
INITIALIZER_ABBREVIATIONS = {"zero": "zeros", "one": "ones", "normal": "random_normal", "uniform": "random_uniform"}
LARGEST_ARGUMENT = 10_000  # such as thresholds or classes
LONGEST_ARGUMENT = 255  # characters, or elements of a list
MOST_ELEMENTS = 2**24  # that the variables of all metrics of a trainer may have


Loss: TypeAlias = "str | dict[str, Any] | Callable[[Tensor, Tensor], Tensor] | keras.losses.Loss"  # by name, or itself
Metric: TypeAlias = "str | dict[str, Any] | Callable[[Tensor, Tensor], Tensor] | keras.metrics.Metric"


def loss(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns the loss of a name, or of a table with `name` and arguments; an object that can be called, itself.

    Raises:
        UsageError: there is none, or it does not take the arguments.
    """
    return _resolve(loss, "loss", _losses(), "mean_absolute_error")


def metrics(metrics: Sequence[Metric]) -> list[keras.metrics.Metric]:
    """Returns the metrics of names, or of tables with `name` and arguments; of objects, what measures by them.

    Raises:
        UsageError: there is no such metric, it does not take the arguments, or they take too much memory.
    """

    def refusal() -> errors.UsageError:
        return errors.UsageError(f"The metrics ask for more than {MOST_ELEMENTS:,} numbers. Lower their classes or thresholds.")

    with keras_budget.at_most(refusal, metrics=MOST_ELEMENTS):
        return [_as_metric(_resolve(metric, "metric", _metrics(), "mean_absolute_error")) for metric in metrics]


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Returns the activation of a name.

    Raises:
        UsageError: there is none.
    """
    return _named(name, "activation", _public(keras.activations, inspect.isfunction), "relu")


def initializer(name: str) -> keras.initializers.Initializer:
    """Returns the initializer of a name.

    Raises:
        UsageError: there is none, or it needs arguments.
    """
    kind = keras.initializers.Initializer
    table = _public(keras.initializers, lambda value: inspect.isclass(value) and issubclass(value, kind) and value is not kind)
    whole = INITIALIZER_ABBREVIATIONS.get(name, name)
    return _called(_named(whole, "initializer", table, "zeros"), {}, "initializer", name)


def _public(module: ModuleType, belongs: Callable[[Any], bool]) -> dict[str, Any]:
    """Returns the public members of a module of Keras, except those that deserialise."""
    doors = ("get", "serialize", "deserialize")
    return {name: value for name, value in vars(module).items() if name[:1] != "_" and name not in doors and belongs(value)}


@functools.cache
def _losses() -> dict[str, Any]:
    kind = keras.losses.Loss
    classes = _public(keras.losses, lambda value: inspect.isclass(value) and issubclass(value, kind) and value is not kind)
    functions = _public(keras.losses, inspect.isfunction)
    return _with_abbreviations({**classes, **functions}, LOSS_ABBREVIATIONS)


@functools.cache
def _metrics() -> dict[str, Any]:
    """Classes also by their names in lower case; functions only where there is no such class."""
    classes = _public(keras.metrics, _measures)
    snaked = {_snake(name): value for name, value in classes.items()}
    return _with_abbreviations({**_public(keras.metrics, inspect.isfunction), **classes, **snaked}, ABBREVIATIONS)


def _measures(value: object) -> bool:
    """Whether it is a class of metrics of (target, output) whose arguments are plain."""
    if not inspect.isclass(value) or not issubclass(value, keras.metrics.Metric):
        return False
    kind: Any = value
    return "y_true" in inspect.signature(kind.update_state).parameters and "fn" not in inspect.signature(kind).parameters


def _with_abbreviations(table: dict[str, Any], abbreviations: dict[str, str]) -> dict[str, Any]:
    short = {name: table[whole] for name, whole in abbreviations.items()}
    return {**table, **short, **{name.upper(): value for name, value in short.items()}}


def _snake(name: str) -> str:
    """Returns a class's name as Keras writes it in lower case."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _resolve(value: object, kind: str, table: dict[str, Any], example: str) -> Any:
    if not isinstance(value, (str, dict)):
        if callable(value):
            return value() if inspect.isclass(value) else value
        raise _unknown(kind, value, example)
    name, arguments = (value, {}) if isinstance(value, str) else _read(value)
    member = _named(name, kind, table, example)
    return _called(member, arguments, kind, name) if inspect.isclass(member) or arguments else member


def _read(table: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the name and the arguments in a table: `{"name": ..., ARGUMENT: ...}`, or as Keras writes it."""
    if table.keys() == {"class_name", "config"} and isinstance(table["config"], dict):
        return table["class_name"], table["config"]
    arguments = dict(table)
    return arguments.pop("name", None), arguments


def _named(name: object, kind: str, table: dict[str, Any], example: str) -> Any:
    if not isinstance(name, str) or name not in table:
        raise _unknown(kind, name, example)
    return table[name]


def _called(member: Callable[..., Any], arguments: dict[str, Any], kind: str, name: str) -> Any:
    """Returns `member(**arguments)`, after checking the arguments."""
    # Functions such as relu take no arguments; classes only plain ones that they name.
    known = [] if inspect.isfunction(member) else list(inspect.signature(member).parameters)
    for argument, value in arguments.items():
        if argument not in known:
            raise errors.UsageError(errors.unknown("argument", argument, known, f"Arguments of Keras's {kind} {name!r}"))
        if not _is_plain(value):
            raise errors.UsageError(
                f"Argument {argument!r} of Keras's {kind} {name!r} is {errors.quoted(value)}; expected a number of at most "
                f"{LARGEST_ARGUMENT:,}, a short text, true, false, none, or a list of numbers."
            )
    try:
        return member(**arguments)
    except (TypeError, ValueError) as error:
        raise errors.UsageError(
            f"Keras's {kind} {name!r} does not take {errors.quoted(arguments)}: {errors.first_line(error)}"
        ) from error


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_ARGUMENT and value.isprintable()
    if isinstance(value, (list, tuple)):
        return len(value) <= LONGEST_ARGUMENT and all(isinstance(item, (int, float)) and _is_plain(item) for item in value)
    is_number = isinstance(value, (int, float)) and abs(value) <= LARGEST_ARGUMENT  # nan is not
    return value is None or is_number


def _as_metric(metric: keras.metrics.Metric | Callable[[Tensor, Tensor], Tensor]) -> keras.metrics.Metric:
    if isinstance(metric, keras.metrics.Metric):
        return metric
    return keras.metrics.MeanMetricWrapper(metric, name=getattr(metric, "__name__", "metric"))


def _unknown(kind: str, value: object, example: str) -> errors.UsageError:
    if kind in ("activation", "initializer"):
        return errors.UsageError(f"Keras has no {kind} {errors.quoted(value)}; expected its name, such as {example!r}.")
    return errors.UsageError(
        f"Keras has no {kind} {errors.quoted(value)}; expected its name, such as {example!r}, a table of a name and plain "
        "arguments, or an object called with (target, output)."
    )
