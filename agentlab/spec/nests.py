"""Nests: functions of a space or a mapping of names to spaces, and of their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np

from agentlab import errors
from agentlab.spec.spaces import Array, Space, SpaceNest
from agentlab.types import Nest, Shape, map_leaves


def map_space(function: Callable[..., Any], space: SpaceNest, *values: Nest) -> Nest:
    """Returns `function(space, *values)` for every space of a nest, in a nest like it, names in order."""
    if isinstance(space, dict):
        return {name: map_space(function, space[name], *(value[name] for value in values)) for name in sorted(space)}
    return function(space, *values)


def leaves_of(space: SpaceNest, path: str = "") -> dict[str, Space]:
    """Returns the spaces of a nest by their path, `"camera/left"`; a single space has the path `""`.

    As in a JSON pointer, `~1` stands for a `/` in a name, and `~0` for a `~`.
    """
    if not isinstance(space, dict):
        return {path: space}
    leaves: dict[str, Space] = {}
    for name in sorted(space):
        leaves |= leaves_of(space[name], joined(path, name))
    return leaves


def joined(path: str, name: str) -> str:
    """Returns the path of an entry within the nest at `path`, see `leaves_of`."""
    name = name.replace("~", "~0").replace("/", "~1")
    return f"{path}/{name}" if path else name


def pairs_of(space: SpaceNest, value: Nest) -> list[tuple[Space, Any]]:
    """Returns every space of a nest and the array of it, names in order."""
    if not isinstance(space, dict):
        return [(space, value)]
    return [pair for name in sorted(space) for pair in pairs_of(space[name], value[name])]


def is_batch(space: SpaceNest, value: Nest) -> bool:
    """Returns whether `value`, which conforms to `space`, has a batch axis."""
    while isinstance(space, dict):
        name = min(space)
        space, value = space[name], value[name]
    return value.ndim > len(space.shape)


def blank(space: SpaceNest, rows: int) -> Nest:
    """Returns zeros `[rows, *shape]` for every space of a nest."""
    return map_space(lambda leaf: np.zeros((rows, *leaf.shape), leaf.dtype), space)


def copied(value: Nest) -> Nest:
    """Returns a nest of arrays with memory of its own."""
    return value.copy() if value.__class__ is np.ndarray else map_leaves(np.array, value)


def is_array(space: SpaceNest) -> TypeGuard[Array]:
    """Returns whether a space is a single array of quantities."""
    return not isinstance(space, dict) and space.is_numeric


def num_values_of(space: SpaceNest | None) -> int | None:
    """Returns the number of values of a space that is a choice, or several choices among equally many; None of any other."""
    return None if space is None or isinstance(space, dict) else space.num_values


def targets_of(space: SpaceNest) -> SpaceNest:
    """Returns the space of right answers to actions of this space, see `Space.of_targets`."""
    return map_space(lambda leaf: leaf.of_targets(), space)


def array_of(space: SpaceNest, who: str, name: str) -> Array:
    """Returns a space that is a single array of numbers.

    Args:
        space: of an environment's observations.
        who: needs such a space, for messages.
        name: of the environment.

    Raises:
        UsageError: it is of another kind.
    """
    if is_array(space):
        return space
    raise errors.UsageError(f"{who} needs observations that are one array; environment {name!r} shows a {describe(space)}.")


def choices_of(space: SpaceNest) -> Shape:
    """Returns the axes of a model's outputs before the last, for actions of this space; a mapping has none."""
    return () if isinstance(space, dict) else space.choices


def features_of(space: SpaceNest) -> int:
    """Returns how many numbers stand for a value of this space as the input of a dense layer."""
    return sum(leaf.num_features for leaf in leaves_of(space).values())


def describe(space: SpaceNest) -> str:
    """Returns a space in words."""
    if not isinstance(space, dict):
        return str(space)
    return "mapping of " + ", ".join(f"{name!r}: {describe(entry)}" for name, entry in sorted(space.items()))


def spaces_alike(one: SpaceNest, other: SpaceNest) -> bool:
    """Returns whether values of the one are values of the other, whatever their dtypes and bounds."""
    left, right = leaves_of(one), leaves_of(other)
    return left.keys() == right.keys() and all(_alike(left[name], right[name]) for name in left)


def _alike(one: Space, other: Space) -> bool:
    sizes = ("num_values", "sizes")
    same = all(getattr(one, name, None) == getattr(other, name, None) for name in sizes)
    return type(one) is type(other) and one.shape == other.shape and same


def to_environment(action: Nest, space: SpaceNest) -> Nest:
    """Returns actions as the environment itself numbers them."""
    if not isinstance(space, dict):
        return space.to_environment(action)
    return map_space(lambda leaf, value: leaf.to_environment(value), space, action)


def conform(value: Nest, space: SpaceNest, who: str, what: str = "observation") -> Nest:
    """Returns `value`, one of `space` or a batch `[B, *shape]`, as arrays of its dtypes.

    Raises:
        UsageError: entries are missing, a shape is neither the space's nor that of a batch, or its dtype can't hold the
            numbers.
    """
    if not isinstance(space, dict):
        return _conform_array(value, space, who, what)
    if not isinstance(value, dict) or value.keys() != space.keys():
        names = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise errors.UsageError(f"{who} got an {what} with {names}; expected a mapping with the entries {sorted(space)}.")
    arrays = {name: conform(value[name], space[name], who, f"{what} entry {name!r}") for name in sorted(space)}

    # All entries belong to the same steps, so their leading axes agree.
    batches = {array.shape[: array.ndim - len(leaf.shape)] for leaf, array in pairs_of(space, arrays)}
    if len(batches) > 1:
        raise errors.UsageError(
            f"{who} got an {what} whose entries are batches of the shapes {', '.join(map(str, sorted(batches)))}; expected one."
        )
    return arrays


def random_values(space: SpaceNest, rows: int, generator: np.random.Generator) -> Nest:
    """Returns random values `[rows, *shape]` of a space; numbers without bounds are drawn from -1 to 1."""
    return map_space(lambda leaf: leaf.random(rows, generator), space)


def _conform_array(value: object, space: Space, who: str, what: str) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.shape == space.shape and value.dtype == space.dtype:
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:  # lists of different lengths
        raise errors.UsageError(
            f"{who} got an {what} that is not an array: {errors.first_line(error)}. Expected shape {space.shape}, or a batch."
        ) from error

    # The last axes are the space's, one in front of them the batch's.
    if space.shape not in (array.shape, array.shape[1:]):
        raise errors.UsageError(f"{who} got an {what} of shape {array.shape}; expected {space.shape}, or a batch of such.")
    if array.dtype == space.dtype:
        return array
    if not np.can_cast(array.dtype, space.dtype, "same_kind"):
        raise errors.UsageError(f"{who} got an {what} of dtype {array.dtype}; expected {space.dtype}.")
    with np.errstate(over="ignore"):  # finiteness is checked elsewhere
        return array.astype(space.dtype, copy=False)
