"""Layers whose `call` is a `tf.function`, and when they have to be retraced."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

Function = tf.types.experimental.PolymorphicFunction

_KNOWN: dict[type, dict[str, Any]] = {}  # the methods of classes that were looked at


def forget_traces(model: keras.Model) -> None:
    """Retraces the `tf.function`s of a model's layers from now on.

    Keras traces them when it builds a model on symbolic inputs, with the variables' values of that moment for constants.
    """
    for layer, name, function in _functions(model):
        vars(layer)[name] = tf.function(function)


@contextlib.contextmanager
def traced_anew(model: keras.Model) -> Iterator[None]:
    """Retraces the `tf.function`s of a model's layers inside the block, and restores them after it.

    A trace keeps reading the tensors that it read when it was made, and makes the same assignments: one made with the values
    of a target network would serve the model's own passes too, and the other way round.
    """
    # A function keeps what it has traced, so a new trace needs a new function in its place.
    before = [(layer, name, vars(layer).get(name)) for layer, name, _ in _functions(model)]
    forget_traces(model)
    try:
        yield
    finally:
        for layer, name, function in before:
            if function is None:
                del vars(layer)[name]
            else:
                vars(layer)[name] = function


def _functions(model: keras.Model) -> list[tuple[keras.layers.Layer, str, Any]]:
    """Returns the layers with `tf.function`s, the names of those, and the Python functions they are made of, bound."""
    functions = []
    for layer in model._flatten_layers():
        for name, function in {**_methods(type(layer)), **vars(layer)}.items():
            if isinstance(function, Function):
                bound = function.python_function
                functions.append((layer, name, bound if name in vars(layer) else types.MethodType(bound, layer)))
    return functions


def _methods(cls: type) -> dict[str, Any]:
    """Returns the methods of a class that are `tf.function`s, inherited ones too, by name."""
    if cls not in _KNOWN:
        names = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
        _KNOWN[cls] = {name: value for name, value in names.items() if isinstance(value, Function)}
    return _KNOWN[cls]
