"""Spaces as Minari writes them: a text of JSON for each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from agentlab import errors
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete, Space, SpaceNest
from agentlab.spec.environment_spec import LARGEST
from agentlab.types import Nest, Shape

DEEPEST = 8  # mappings in mappings


def space_text(space: SpaceNest) -> str:
    """Returns a space as Minari's JSON; choices as the environment itself numbers them.

    Raises:
        UsageError: Minari has no such space.
    """
    return json.dumps(_table_of(space))


def _table_of(space: SpaceNest) -> dict[str, Any]:
    if isinstance(space, dict):
        return {"type": "Dict", "subspaces": {name: _table_of(space[name]) for name in sorted(space)}}
    return _WRITERS[type(space)](space)


def _box(space: Any) -> dict[str, Any]:
    low, high = space.low, space.high
    if np.dtype(space.dtype).kind != "f":  # whole numbers have no infinity
        low, high = _within(low, space.dtype), _within(high, space.dtype)
    return {"type": "Box", "dtype": space.dtype, "shape": list(space.shape), "low": low.tolist(), "high": high.tolist()}


def _within(bound: np.ndarray, dtype: str) -> np.ndarray:
    limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.array([int(min(max(number, limits[0]), limits[1])) for number in bound.ravel()]).reshape(bound.shape)


def _discrete(space: Any) -> dict[str, Any]:
    if space.shape:  # Minari has choices among equally many values as a MultiDiscrete
        return _multi_discrete(space, np.full(space.shape, space.num_values), np.full(space.shape, space.start))
    return {"type": "Discrete", "dtype": "int64", "start": space.start, "n": space.num_values}


def _multi_discrete(space: Any, sizes: Any, start: Any) -> dict[str, Any]:
    return {
        "type": "MultiDiscrete",
        "dtype": space.dtype,
        "nvec": np.asarray(sizes).tolist(),
        "start": np.asarray(start).tolist(),
    }


_WRITERS: dict[type[Space], Callable[[Any], dict[str, Any]]] = {
    Array: _box,
    Discrete: _discrete,
    MultiBinary: lambda space: {"type": "MultiBinary", "n": list(space.shape)},
    MultiDiscrete: lambda space: _multi_discrete(space, space.sizes, space.start or np.zeros(len(space.sizes), int)),
}


def read_space(text: object, what: str) -> SpaceNest:
    """Returns the space that a text of Minari's JSON describes.

    Args:
        text: from a data set's metadata.
        what: it is of, for messages.

    Raises:
        UsageError: it describes none, or a kind that agentlab has not.
    """
    try:
        return _space(json.loads(text) if isinstance(text, str) else text)
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError, AttributeError) as error:
        raise errors.UsageError(
            f"The {what} of the data set, {errors.quoted(text)}, can't be read: {errors.first_line(error)}. Expected a "
            "Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them, as Minari writes it."
        ) from error


def _space(table: Any, depth: int = 0) -> SpaceNest:
    if depth > DEEPEST:
        raise ValueError(f"spaces nested more than {DEEPEST} deep")
    kind = table["type"]
    if kind in ("Dict", "Tuple"):  # parts of a Tuple are named "0", "1", ...
        parts = table["subspaces"]
        named = parts if kind == "Dict" else {str(index): part for index, part in enumerate(parts)}
        if not named:
            raise ValueError("a space without parts")
        return {str(name): _space(part, depth + 1) for name, part in named.items()}
    if kind not in _READERS:
        raise ValueError(f"a space of type {str(kind)[:40]!r}")
    return _READERS[kind](table)


def _read_box(table: dict[str, Any]) -> Space:
    # Bounds of every element, which bools have not.
    dtype, shape = np.dtype(table["dtype"]), tuple(map(int, table["shape"]))
    if dtype.kind not in "biuf":
        raise TypeError(f"a Box of {dtype}")
    _check_size(shape)
    bounds = {"minimum": table["low"], "maximum": table["high"]}
    if dtype == np.bool_:
        bounds = {}
    return Array(
        shape, dtype.name, **{name: np.broadcast_to(np.asarray(bound, np.float64), shape) for name, bound in bounds.items()}
    )


def _read_discrete(table: dict[str, Any]) -> Space:
    return Discrete(_at_least_1(table["n"]), start=int(table["start"]))


def _read_multi_discrete(table: dict[str, Any]) -> Space:
    sizes, start = np.asarray(table["nvec"], np.int64), np.asarray(table["start"], np.int64)
    if np.min(sizes) < 1:
        raise ValueError("a choice among no values")

    # Choices in several axes are one kind of space here where all are alike.
    dtype = np.dtype(table["dtype"]).name
    if len({*sizes.ravel().tolist()}) == 1 and len({*start.ravel().tolist()}) == 1 and sizes.ndim != 1:
        return Discrete(int(sizes.flat[0]), dtype, sizes.shape, int(start.flat[0]))
    if sizes.ndim != 1:
        raise ValueError("choices in several axes, among different numbers of values")
    return MultiDiscrete(tuple(sizes.tolist()), dtype, tuple(start.tolist()) if np.any(start) else ())


def _read_multi_binary(table: dict[str, Any]) -> Space:
    n = table["n"]
    shape = tuple(map(_at_least_1, n)) if isinstance(n, list) else (_at_least_1(n),)
    _check_size(shape)
    return MultiBinary(shape)


def _check_size(shape: Shape) -> None:
    if math.prod(shape) > LARGEST:
        raise ValueError(f"a space of {math.prod(shape):,} numbers; expected at most {LARGEST:,}")


def _at_least_1(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"a size of {str(value)[:40]}")
    return value


_READERS: dict[str, Callable[[dict[str, Any]], Space]] = {
    "Box": _read_box,
    "Discrete": _read_discrete,
    "MultiBinary": _read_multi_binary,
    "MultiDiscrete": _read_multi_discrete,
}


def starts_of(space: Space) -> Any:
    """Returns the environment's number of the first value of choices, 0 for anything else; broadcasts to the space's shape."""
    start: Any = getattr(space, "start", 0)
    return np.asarray(start, space.dtype) if np.any(start) else 0


def from_environment(values: np.ndarray, space: Space) -> Nest:
    """Returns values `[..., *shape]` counted from 0, of those that the environment itself numbers."""
    start = starts_of(space)
    return values - start if np.any(start) else values
