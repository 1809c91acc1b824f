"""Converts values of Gymnasium's Dict and Tuple spaces to mappings of names to arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Tuple

from agentlab import errors
from agentlab.checks.values import entry_name
from agentlab.spec import joined
from agentlab.types import Nest

Leaf = Callable[[gymnasium.Space, Any, str], Any]  # of a space, a value of it, and its path


@attrs.frozen
class Kind:
    """A kind of space that has parts.

    Attributes:
        parts: returns a space's parts by their keys.
        build: returns a value of the space from those of its parts, in order.
    """

    parts: Callable[[Any], dict[Any, gymnasium.Space]]
    build: Callable[[dict[Any, Any]], Any]


KINDS: dict[type[gymnasium.Space], Kind] = {
    Dict: Kind(lambda space: dict(space.spaces), dict),
    Tuple: Kind(lambda space: dict(enumerate(space.spaces)), lambda parts: tuple(parts.values())),
}


def kind_of(space: gymnasium.Space) -> Kind | None:
    """Returns how to handle a space of several parts; None for any other space."""
    return next((kind for cls, kind in KINDS.items() if isinstance(space, cls)), None)


def parts_of(space: gymnasium.Space) -> dict[str, gymnasium.Space] | None:
    """Returns the parts of a space by their names; None if it has none."""
    kind = kind_of(space)
    return None if kind is None else {str(key): part for key, part in kind.parts(space).items()}


def leaves_of(space: gymnasium.Space, path: str = "") -> dict[str, gymnasium.Space]:
    """Returns the spaces that have no parts by their path, as `agentlab.spec.leaves_of` does."""
    parts = parts_of(space)
    if parts is None:
        return {path: space}
    leaves: dict[str, gymnasium.Space] = {}
    for name, part in parts.items():
        leaves |= leaves_of(part, joined(path, name))
    return leaves


def map_leaves(function: Callable[[gymnasium.Space], Any], space: gymnasium.Space) -> Nest:
    """Returns `function(space)` of every space without parts, in a mapping like the space."""
    parts = parts_of(space)
    return function(space) if parts is None else {name: map_leaves(function, part) for name, part in parts.items()}


def named(space: gymnasium.Space) -> gymnasium.Space:
    """Returns the space of what `gather` returns: the parts of a Tuple are named "0", "1", ..."""
    parts = parts_of(space)
    return space if parts is None else Dict({name: named(part) for name, part in parts.items()})


def gather(space: gymnasium.Space, value: Nest, leaf: Leaf, name: str, path: str = "") -> Nest:
    """Returns a value of a space as a mapping, or as one array if the space has no parts.

    Args:
        space: Gymnasium's.
        value: of it, or a batch.
        leaf: returns an array, of the space, the value and the path of a part.
        name: of the value, for messages.
        path: of the value within a larger one.

    Raises:
        EnvironmentFault: parts are missing, or there are others; the message is a clause without a subject.
    """
    kind = kind_of(space)
    if kind is None:
        return leaf(space, value, path)

    # The same names in any order, each with a value of its own.
    parts = kind.parts(space)
    if list(parts) != (keys := _keys(value)) and set(parts) != set(keys):
        raise errors.EnvironmentFault(
            f"returned an {entry_name(name, path)} with {_listed(value, keys)}; its observation space says {list(parts)}."
        )
    return {str(key): gather(part, value[key], leaf, name, joined(path, str(key))) for key, part in parts.items()}


def _keys(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value)
    return list(range(len(value))) if isinstance(value, (tuple, list, np.ndarray)) else []


def _listed(value: object, keys: list[Any]) -> str:
    return f"the entries {keys}" if keys else f"no entries but a {type(value).__name__}"


def spread(space: gymnasium.Space, value: Nest) -> Any:
    """Returns the inverse of `gather`."""
    kind = kind_of(space)
    if kind is None:
        return value
    return kind.build({key: spread(part, value[str(key)]) for key, part in kind.parts(space).items()})


def stack(space: gymnasium.Space, values: list[Any]) -> Any:
    """Returns values of a space as one batch of it."""
    kind = kind_of(space)
    if kind is None:
        return np.array(values)  # stacking takes six times as long
    return kind.build({key: stack(part, [value[key] for value in values]) for key, part in kind.parts(space).items()})
