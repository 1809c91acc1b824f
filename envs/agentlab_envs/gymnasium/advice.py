"""Advice for environments that agentlab can't take as they are: a line of Python that makes of one what it can."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, MultiBinary, MultiDiscrete, Space, Tuple

from agentlab import errors
from agentlab.registry.environment_objects import display_name

MOST_CHOICES = 1_000  # combinations of several choices that are few enough to be one choice


def on_observations(id: str, space: Space, arguments: dict[str, Any]) -> str:
    """Returns what to do about observations that are neither a Box nor Discrete.

    Args:
        id: Gymnasium's.
        space: of the observations.
        arguments: that the environment was made with.
    """
    inner = _source(id, arguments)
    if _flattens(space):
        return _wrapped(id, f"gymnasium.wrappers.FlattenObservation({inner})")
    parts = space.spaces if isinstance(space, (Dict, Tuple)) else {}
    named = parts.items() if isinstance(parts, dict) else enumerate(parts)
    flat = [name for name, part in named if _flattens(part)]
    if flat:
        filtered = f"gymnasium.wrappers.FilterObservation({inner}, {flat})"
        return _wrapped(id, f"gymnasium.wrappers.FlattenObservation({filtered})")
    shown = _wrapped(id, f"Shown({inner})")
    return f"{shown} Shown is a gymnasium.ObservationWrapper of yours that shows a Box or Discrete."


def on_actions(id: str, space: Space, arguments: dict[str, Any]) -> str:
    """Returns what to do about actions that are neither Discrete nor a Box; arguments are as of `on_observations`."""
    inner = _source(id, arguments)
    counts: list[int] = []
    if isinstance(space, MultiDiscrete):
        counts = space.nvec.ravel().tolist()
    elif isinstance(space, MultiBinary):
        counts = [2] * math.prod(space.shape)
    if counts and math.prod(counts) <= MOST_CHOICES and _starts_at_zero(space):
        flat = f"numpy.array(numpy.unravel_index(action, {tuple(counts)}))"
        combined = flat if len(space.shape or ()) == 1 else f"{flat}.reshape({space.shape})"
        choice = f"gymnasium.spaces.Discrete({math.prod(counts)})"
        return _wrapped(id, f"gymnasium.wrappers.TransformAction({inner}, lambda action: {combined}, {choice})")
    taken = _wrapped(id, f"Taken({inner})")
    return f"{taken} Taken is a gymnasium.ActionWrapper of yours that takes Discrete actions or a Box's."


def on_unknown(id: str) -> str:
    """Returns what may have been meant by an id that nothing is registered by."""
    name = id.rpartition(":")[2]
    if name.startswith("ALE/") or "NoFrameskip" in name:
        game = name.removeprefix("ALE/").partition("-")[0].removesuffix("NoFrameskip")
        return (
            f"Atari games have tasks of their own: agentlab run dqn-breakout --set environment.game={_snake(game)}. "
            "pip install 'agentlab[atari]' brings the games."
        )
    if near := errors.closest(name, gymnasium.registry):
        return errors.suggestion(near).strip()
    return (
        "gymnasium.pprint_registry() prints those there are; one that exists only once a module is imported is written "
        "'module:ID', such as 'my_module:MyEnvironment-v0'."
    )


def _flattens(space: Space) -> bool:
    """Whether FlattenObservation makes something of a space; custom ones don't say so in any other way."""
    try:
        return isinstance(gymnasium.spaces.flatten_space(space), Box)
    except Exception:  # whatever a stranger's space raises
        return False


def _starts_at_zero(space: Space) -> bool:
    return not np.any(getattr(space, "start", 0))


def _source(id: str, arguments: dict[str, Any]) -> str:
    """Returns what makes the environment, in Python."""
    name = display_name(id)
    if name != id:
        return f"{name if name != 'lambda' else 'make'}()"
    return f"gymnasium.make({id!r}, **{arguments})" if arguments else f"gymnasium.make({id!r})"


def _wrapped(id: str, expression: str) -> str:
    call = f"agentlab.run(TASK, environment=lambda: {expression})"
    if display_name(id) != id:
        return f"give it with a wrapper around it: {call}."
    return f"register it with a wrapper around it, or give it so in Python: {call}."


def _snake(name: str) -> str:
    """Returns a game's name as ALE writes it: "MsPacman" is "ms_pacman".

    >>> _snake("MsPacman")
    'ms_pacman'
    """
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
