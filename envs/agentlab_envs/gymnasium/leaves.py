"""Converts Gymnasium's spaces of single arrays to agentlab's: a table by class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from agentlab import spec
from agentlab.errors import EnvironmentFault
from agentlab.spec import Array, Space
from agentlab_envs.gymnasium import nests as nests

Show = Callable[[np.ndarray, Any], np.ndarray]  # of observations [N, *shape] and the rows they are of


@attrs.frozen
class Kind:
    """A kind of space.

    Attributes:
        numbers: returns the range of a space's numbers, as the environment itself has them.
        observed: returns what agents see of it.
        taken: returns how agents act on it.
        show: returns what makes of the environment's numbers those that agents see, given a space and what its observations
            are called; None where they are the same.
    """

    numbers: Callable[[Any], Array]
    observed: Callable[[Any], Space]
    taken: Callable[[Any], Space]
    show: Callable[[Any, str], Show | None] = lambda _, __: None


def _box(space: Box) -> Array:
    return Array(space.shape, str(space.dtype), space.low, space.high)


def _any(space: Discrete) -> Array:
    return Array((), str(space.dtype))


def _choice(space: Discrete) -> Space:
    return spec.Discrete(int(space.n), str(space.dtype), start=int(space.start))


def _symbol(space: Discrete) -> Space:
    return Array((int(space.n),), minimum=0.0, maximum=1.0)


def _one_hot(space: Discrete, name: str) -> Show:
    """Returns a function that makes one-hot codes of symbols."""
    start, count = int(space.start), int(space.n)

    def show(array: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        places = array - start
        known = (places >= 0) & (places < count)
        if not known.all():
            index = int(np.argmin(known))
            row = index if rows is None else int(rows[index])
            raise EnvironmentFault(f"row {row}'s {name} {array[index]} is not in its observation space, {space}.")
        codes = np.zeros((len(array), count), np.float32)
        codes[np.arange(len(array)), places] = 1.0
        return codes

    return show


def _several(space: MultiDiscrete) -> Array:
    return Array(space.shape, str(space.dtype), space.start, space.start + (space.nvec - 1))


def _choices(space: MultiDiscrete) -> Space:
    sizes, start = space.nvec.ravel().tolist(), space.start.ravel().tolist()
    return spec.MultiDiscrete(tuple(sizes), str(space.dtype), tuple(start) if any(start) else ())


def _from_zero(space: MultiDiscrete, _: str) -> Show | None:
    """Returns a function that counts choices from 0, in one axis."""
    if not np.any(space.start) and len(space.shape) == 1:
        return None
    return lambda array, _: (array - space.start).reshape(len(array), -1)


def _bits(space: MultiBinary) -> Space:
    return spec.MultiBinary(space.shape, str(space.dtype))


def _zero_or_one(space: MultiBinary) -> Array:
    return Array(space.shape, str(space.dtype), 0.0, 1.0)


KINDS: dict[type[gymnasium.Space], Kind] = {
    Box: Kind(_box, _box, _box),
    Discrete: Kind(_any, _symbol, _choice, _one_hot),
    MultiDiscrete: Kind(_several, _choices, _choices, _from_zero),
    MultiBinary: Kind(_zero_or_one, _bits, _bits),
}


def kind_of(space: gymnasium.Space) -> Kind | None:
    """Returns how agentlab represents a space; None if it doesn't support it."""
    return next((kind for cls, kind in KINDS.items() if isinstance(space, cls)), None)


def are_known(space: gymnasium.Space) -> bool:
    """Whether agentlab knows all parts of a space."""
    return all(kind_of(leaf) is not None for leaf in nests.leaves_of(space).values())


def known(space: gymnasium.Space) -> Kind:
    """Returns how agentlab represents a space that it supports."""
    kind = kind_of(space)
    if kind is None:
        raise TypeError(f"{space} is no space of agentlab's")
    return kind
