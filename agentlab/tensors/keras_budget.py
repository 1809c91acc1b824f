"""Budgets for what Keras builds from a name and settings: counted per thread, before memory is allocated."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import keras

from agentlab import errors


@attrs.define(eq=False)
class _Budget:
    """What a thread may still build of each kind, and the error it gets otherwise."""

    left: dict[str, float]
    refusal: Callable[[], errors.UsageError]
    thread: int = attrs.field(factory=threading.get_ident)
    refused: errors.UsageError | None = None

    def spend(self, kind: str, amount: int) -> None:
        self.left[kind] -= amount
        if self.left[kind] < 0:
            self.refused = self.refusal()
            raise self.refused


_budgets: list[_Budget] = []  # of the blocks under way, in all threads
_originals: dict[tuple[type, str], Callable[..., Any]] = {}
_changing = threading.Lock()  # the list, and Keras, which counts while there are some


@contextlib.contextmanager
def at_most(
    refusal: Callable[[], errors.UsageError], weights: float = math.inf, metrics: float = math.inf, layers: float = math.inf
) -> Iterator[None]:
    """Refuses, in this thread, to build more than so much.

    Args:
        refusal: makes the error.
        weights: elements of all weights of layers together.
        metrics: elements of all variables of metrics together.
        layers: how many.

    Raises:
        UsageError: that of `refusal`, before more is allocated.
    """
    budget = _Budget({"weights": weights, "metrics": metrics, "layers": layers}, refusal)

    # Keras's methods are replaced while anybody counts, in any thread.
    with _changing:
        if not _budgets:
            _count()
        _budgets.append(budget)
    try:
        yield
    except Exception as error:
        if budget.refused is not None:  # which Keras tells at length, with where it happened
            raise budget.refused from error
        raise
    finally:
        with _changing:
            _budgets.remove(budget)
            if not _budgets:
                _count_no_more()


def refused() -> errors.UsageError | None:
    """Returns the error that this thread got in a block under way, if it got one, whatever was made of it since."""
    own = (budget.refused for budget in _budgets.copy() if budget.thread == threading.get_ident())
    return next(filter(None, own), None)


def is_limited(kind: str) -> bool:
    """Whether this thread may build only so much of a kind."""
    return any(budget.thread == threading.get_ident() and budget.left[kind] < math.inf for budget in _budgets.copy())


def _count() -> None:
    for owner, name, kind in (
        (keras.layers.Layer, "__init__", "layers"),
        (keras.layers.Layer, "add_weight", "weights"),
        (keras.metrics.Metric, "add_variable", "metrics"),
    ):
        original = _originals[owner, name] = getattr(owner, name)
        setattr(owner, name, _counting_layers(original) if kind == "layers" else _counting_elements(original, kind))


def _count_no_more() -> None:
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)


def _spend(kind: str, amount: int) -> None:
    for budget in [budget for budget in _budgets.copy() if budget.thread == threading.get_ident()]:
        budget.spend(kind, amount)


def _counting_elements(original: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """Returns Keras's `add_weight` or `add_variable`, which then counts."""

    @functools.wraps(original)
    def add(self: Any, shape: tuple[int, ...] | None = None, *arguments: Any, **named: Any) -> Any:
        _spend(kind, math.prod(shape or ()))
        return original(self, shape, *arguments, **named)

    return add


def _counting_layers(original: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the constructor of Keras's layers, which then counts."""

    @functools.wraps(original)
    def __init__(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: N807
        _spend("layers", 1)
        original(self, *arguments, **named)

    __init__.__signature__ = inspect.signature(original)  # type: ignore[attr-defined] # by which Keras records arguments
    return __init__
