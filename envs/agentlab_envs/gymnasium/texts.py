"""Leaves out entries of observations that are text, which models can't read."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Dict

from agentlab.types import Nest
from agentlab_envs.gymnasium import advice as advice
from agentlab_envs.gymnasium import nests as nests


def paths_of(space: gymnasium.Space) -> tuple[str, ...]:
    """Returns the paths of the entries of a space that are text; none where it consists of nothing else."""
    spaces = nests.leaves_of(space)
    paths = tuple(path for path, leaf in spaces.items() if _is_text(leaf))
    return paths if len(paths) < len(spaces) else ()


def without(space: gymnasium.Space) -> gymnasium.Space:
    """Returns the space of what `cut` returns, for one with entries that are text."""
    return _without(nests.named(space))


def _without(space: gymnasium.Space) -> gymnasium.Space:
    if not isinstance(space, Dict):
        return space
    read = {name: part for name, part in space.spaces.items() if not _is_text(part)}
    return Dict({name: _without(part) for name, part in read.items()})


def _is_text(space: gymnasium.Space) -> bool:
    """Whether a space, or all in it, is Gymnasium's Text or another space of strings, as MiniGrid's of missions."""
    dtypes = [leaf.dtype for leaf in nests.leaves_of(space).values()]
    return bool(dtypes) and all(isinstance(dtype, np.dtype) and dtype.kind == "U" for dtype in dtypes)


def cut(space: gymnasium.Space, observation: object) -> Nest:
    """Returns an observation of a space without the entries that are text; raises EnvironmentFault as `nests.gather`."""
    return _entries(without(space), nests.gather(space, observation, lambda _, value, __: value, "observation"))


def _entries(space: gymnasium.Space, value: Nest) -> Nest:
    return {name: _entries(part, value[name]) for name, part in space.spaces.items()} if isinstance(space, Dict) else value


def warn(name: str, paths: tuple[str, ...]) -> None:
    """Warns once of what an environment shows and agents don't see."""
    entries = f"entries {', '.join(map(repr, paths))} are" if len(paths) > 1 else f"entry {paths[0]!r} is"
    advice.warn_once(f"The environment {name} shows text, which models can't read: the {entries} left out of its observations.")
