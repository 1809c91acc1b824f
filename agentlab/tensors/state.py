"""The state of a part: every tf.Variable that its attributes hold, by a name that is the same in every process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from agentlab.system.ranges import COUNT, FINITE, Range, prefixed

FOREIGN = frozenset({"tensorflow", "keras", "numpy", *sys.stdlib_module_names})  # packages whose objects are not looked into


class Scratch:
    """A variable that holds nothing between two calls, and so is no part of any state: `variables_of` doesn't look inside.

    Attributes:
        variable: of Keras or TensorFlow.
    """

    def __init__(self, variable: keras.Variable | tf.Variable) -> None:
        self.variable = variable


def variables_of(part: object) -> dict[str, tf.Variable]:
    """Returns the tf.Variables that a part holds, directly or in its attributes, lists, mappings and their attributes.

    Keras metrics are left out: they are about reports, not about what was learned.

    A variable is named by the path that leads to it: `self._ring.reward` is `"ring/reward"`, a Keras model's fourth weight
    `"model/003"`. One that is reached twice has the name of the first path.

    Args:
        part: any object; attributes are visited in the order in which they were set.
    """
    variables: dict[str, tf.Variable] = {}
    for path, variable in _walk(part, "", set()):
        while path in variables:  # of attributes such as `target` and `_target`
            path += "_"
        variables[path] = variable
    return variables


def ranges_of(part: object) -> dict[str, Range]:
    """Returns the ranges of the numbers in a part's variables, by the names of `variables_of`.

    Floating-point numbers are finite. What the part holds says more by a method `ranges`, by the names of its own variables.
    """
    # Floating-point numbers are finite; whole numbers are as the parts that hold them say.
    ranges = {name: FINITE for name, variable in variables_of(part).items() if variable.dtype.is_floating}
    for path, value in _objects(part, "", set()):
        if isinstance(value, keras.optimizers.Optimizer):
            counted = value.iterations
            own_ranges = {f"{index:03d}": COUNT for index, variable in enumerate(value.variables) if variable is counted}
        else:
            own_ranges = value.ranges() if path and hasattr(value, "ranges") else {}
        ranges |= prefixed(f"{path}/", own_ranges)
    return ranges


def appended_rows_of(part: object) -> dict[str, int]:
    """Returns the `appended_rows` of everything that a part holds, by the names of `variables_of`."""
    rows: dict[str, int] = {}
    for path, value in _objects(part, "", set()):
        if path and hasattr(value, "appended_rows"):
            rows |= {f"{path}/{name}": count for name, count in value.appended_rows().items()}
    return rows


def _objects(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yields a value and all that it holds, with the paths that lead there; the innermost last."""
    if id(value) in seen or isinstance(value, (tf.Variable, keras.Variable)):
        return
    seen.add(id(value))
    yield path, value
    for name, item in _items(value):
        yield from _objects(item, f"{path}/{name}" if path else name, seen)


def _walk(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, tf.Variable]]:
    if id(value) in seen:
        return

    # A variable is yielded once, by the first path that leads to it.
    if isinstance(value, tf.Variable):
        seen.add(id(value))
        yield path, value
        return
    for name, item in _items(value):
        seen.add(id(value))
        yield from _walk(item, f"{path}/{name}" if path else name, seen)


def _items(value: object) -> Iterator[tuple[str, Any]]:
    """Yields the named parts of a value that may hold variables."""
    if isinstance(value, (keras.metrics.Metric, Scratch)):  # a metric starts again for each report
        return

    # Keras's own objects by the order of their variables, containers by key or index, other parts by attribute.
    if isinstance(value, keras.Variable):
        yield "value", value.value
    elif isinstance(value, (keras.layers.Layer, keras.optimizers.Optimizer, keras.random.SeedGenerator)):
        for index, variable in enumerate(_keras_variables(value)):
            yield f"{index:03d}", variable.value
    elif isinstance(value, dict):
        yield from ((str(name), item) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"{index:03d}", item) for index, item in enumerate(value))
    elif type(value).__module__.partition(".")[0] not in FOREIGN:
        yield from ((name.strip("_"), item) for name, item in _attributes(value).items())


def _keras_variables(
    value: keras.layers.Layer | keras.optimizers.Optimizer | keras.random.SeedGenerator,
) -> list[keras.Variable]:
    return [value.state] if isinstance(value, keras.random.SeedGenerator) else value.variables


def _attributes(value: object) -> dict[str, Any]:
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ()) if name != "__weakref__"]
    held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}
