"""Tests whether an environment is deterministic: the same seed and actions must give the same time steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from agentlab import errors
from agentlab.environment import Environment
from agentlab.foreign.guard import guarded
from agentlab.spec import EnvironmentSpec, random_values
from agentlab.spec.environment_spec import MASK
from agentlab.types import Nest, TimeStep
from agentlab_envs.gymnasium.processes.workers import Hung

STEPS = 200  # to play at most before the state is taken: enough for a second episode in most
AFTER = 10  # to compare after that
SECONDS = 1.0  # to spend on the first part at most


def why_not(make: Callable[[], Environment]) -> str:
    """Returns why an environment of one row can't be restored to another's state, as a clause; empty if it can.

    Args:
        make: returns a new one, which is closed here.

    Raises:
        EnvironmentFault: its worker process hangs, as it would in training.
    """
    with contextlib.ExitStack() as closing:
        is_playing = False
        try:
            # The second one is brought to the first one's state and given the same actions.
            first, second = (_made(make, closing) for _ in range(2))
            is_playing = True
            state, actions, seen = _play(first)
            is_playing = False
            again: list[Any] = [second.restore(state), *(second.step(action) for action in actions)]
        except errors.AgentlabError as error:
            if isinstance(error.__cause__, Hung):
                raise
            # What fails as it is played fails in training too: the reason is told there, here only the place.
            reason = str(error).partition(": ")[0] if is_playing else str(error)
            return f"trying out whether its episodes repeat failed: {reason.rstrip('.')}"
    if not all(_same(*pair) for pair in zip(seen, again, strict=True)):
        return "played again from its seed and actions, an episode goes differently"
    return ""


def _made(make: Callable[[], Environment], closing: contextlib.ExitStack) -> Environment:
    """Returns a new environment, watched from now until it is closed."""
    environment = guarded(make())
    closing.callback(environment.close)
    return closing.enter_context(environment)


def _play(environment: Environment) -> tuple[dict[str, np.ndarray], list[Nest], list[Any]]:
    """Returns the state somewhere in an episode, and the actions and what they led to after that."""
    generator, deadline = np.random.default_rng(0), time.monotonic() + SECONDS

    # Into a second episode if there is time: a state in the first may be right by accident.
    timestep, episodes, since = environment.reset(1), 0, 0
    for _ in range(STEPS):
        timestep = environment.step(_action(environment.spec, timestep, generator))
        since += 1
        if (timestep.terminated | timestep.truncated)[0]:
            episodes, since = episodes + 1, 0
        if (episodes and since >= AFTER) or time.monotonic() > deadline:
            break

    # What the state has to lead to.
    state, actions, seen = environment.state(), [], [timestep.observation]
    for _ in range(AFTER):
        actions.append(_action(environment.spec, timestep, generator))
        timestep = environment.step(actions[-1])
        seen.append(timestep)
    return state, actions, seen


def _action(spec: EnvironmentSpec, timestep: TimeStep, generator: np.random.Generator) -> Nest:
    """Returns random actions of one row, among those that are allowed."""
    if not spec.has_mask:
        return random_values(spec.action, 1, generator)
    sizes = spec.action.sizes or (spec.action.num_values or 1,)  # type: ignore[union-attr]
    allowed = np.split(timestep.observation[MASK][0], np.cumsum(sizes)[:-1])
    choices = [generator.choice(np.flatnonzero(part) if part.any() else len(part)) for part in allowed]
    return np.array(choices, spec.action.dtype).reshape(1, *spec.action.shape)  # type: ignore[union-attr]


def _same(seen: Nest, again: Nest) -> bool:
    if isinstance(seen, TimeStep) and isinstance(again, TimeStep):
        parts = ("observation", "reward", "terminated", "truncated")
        return all(_same(getattr(seen, part), getattr(again, part)) for part in parts)
    if isinstance(seen, dict):
        return all(_same(seen[name], again[name]) for name in seen)
    return np.array_equal(np.asarray(seen), np.asarray(again))
