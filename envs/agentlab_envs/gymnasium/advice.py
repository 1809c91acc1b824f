"""Advice for environments that agentlab doesn't support: a line of Python with a suitable wrapper."""

from __future__ import annotations

import functools
import re
import warnings
from typing import Any

import gymnasium
from gymnasium.spaces import Box, Space

from agentlab import errors
from agentlab.registry.environment_objects import display_name
from agentlab_envs.gymnasium import leaves as leaves
from agentlab_envs.gymnasium import nests as nests

# Ids of Atari games: ALE's, and those of the old gym package, whose simplest say no more than the game.
ATARI = re.compile(r"ALE/(?P<ale>[A-Za-z]+).*|(?P<old>[A-Z][A-Za-z]+?)(?=Deterministic|NoFrameskip|-ram).*-v\d+")
SCREEN = (160, 3)  # columns and colours of Atari's
PERHAPS_ATARI = re.compile(r"([A-Z][A-Za-z]+)-v[04]")


def on_observations(id: str, space: Space, arguments: dict[str, Any]) -> str:
    """Returns what to do about observations of a space that agentlab does not know.

    Args:
        id: Gymnasium's.
        space: of the observations.
        arguments: that the environment was made with.
    """
    inner = _source(id, arguments)
    if _flattens(space):
        return _wrapped(id, f"gymnasium.wrappers.FlattenObservation({inner})")

    # Of a mapping, the entries that agentlab knows may be enough.
    kind = nests.kind_of(space)
    names = [] if kind is None else [key for key, part in kind.parts(space).items() if leaves.are_known(part)]
    if names:
        return _wrapped(id, f"gymnasium.wrappers.FilterObservation({inner}, {names})")
    wrapper = _wrapped(id, f"Shown({inner})")
    return f"{wrapper} Shown is a gymnasium.ObservationWrapper of yours that shows a Box or Discrete."


def on_actions(id: str, arguments: dict[str, Any]) -> str:
    """Returns what to do about actions of a space that agentlab does not know; arguments are as of `on_observations`."""
    taken = _wrapped(id, f"Taken({_source(id, arguments)})")
    return f"{taken} Taken is a gymnasium.ActionWrapper of yours that takes Discrete actions or a Box's."


def on_unknown(id: str) -> str:
    """Returns what may have been meant by an id that nothing is registered by."""
    name = id.rpartition(":")[2]
    if game := ATARI.fullmatch(name):
        return _of_atari("Atari games have tasks of their own", _snake(game["ale"] or game["old"]))

    # A misspelt id, or one that a module registers when it is imported.
    if near := errors.closest(name, gymnasium.registry):
        return errors.suggestion(near).strip()
    if game := PERHAPS_ATARI.fullmatch(name):
        return _of_atari("If it is an Atari game, that has a task of its own", _snake(game[1]))
    return (
        "gymnasium.pprint_registry() prints those there are; one that exists only once a module is imported is written "
        "'module:ID', such as 'my_module:MyEnvironment-v0'."
    )


def on_screens(id: str, space: Space) -> str:
    """Returns which task plays an Atari game that shows its whole screen, as its own environments do; "" of all others.

    Args:
        id: Gymnasium's.
        space: of the observations.
    """
    game = ATARI.fullmatch(id.rpartition(":")[2])
    if game is None or (space.shape or ())[1:] != SCREEN:
        return ""
    return _of_atari(f"{id} shows the whole screen; Atari games have tasks of their own", _snake(game["ale"] or game["old"]))


@functools.cache
def warn_once(sentence: str) -> None:
    """Warns, once in this process: a run makes an environment several times, for training, judging and to try it out."""
    warnings.warn(sentence, errors.RunWarning, stacklevel=2)


def _of_atari(sentence: str, game: str) -> str:
    command = f"agentlab run dqn-breakout --set environment.game={game}"
    return f"{sentence}: {command}. pip install 'agentlab[atari]' brings the games."


def _flattens(space: Space) -> bool:
    """Whether FlattenObservation makes something of a space; custom ones don't say so in any other way."""
    try:
        return isinstance(gymnasium.spaces.flatten_space(space), Box)
    except Exception:  # a foreign space may raise anything
        return False


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
