"""Whether an environment, given the same seed and the same actions, does the same again: tried out, not believed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from agentlab import errors
from agentlab.environment import Environment
from agentlab.loop.guard import guarded
from agentlab.spec import Discrete
from agentlab.types import TimeStep
from agentlab_envs.gymnasium.workers import Hung

STEPS = 200  # to play at most before the state is taken: enough for a second episode in most
AFTER = 10  # to compare after that
SECONDS = 1.0  # to spend on the first part at most


def why_not(make: Callable[[], Environment]) -> str:
    """Returns why an environment of one row can't be brought to where another was, as a clause; empty if it can.

    Args:
        make: returns a new one, which is closed here.

    Raises:
        EnvironmentFault: its worker process hangs, as it would in training.
    """
    with contextlib.ExitStack() as closing:
        try:
            first, second = (_made(make, closing) for _ in range(2))
            state, actions, seen = _play(first)
            again: list[Any] = [second.restore(state), *(second.step(action) for action in actions)]
        except errors.AgentlabError as error:
            if isinstance(error.__cause__, Hung):
                raise
            return f"trying out whether its episodes repeat failed: {str(error).rstrip('.')}"
    if not all(_same(*pair) for pair in zip(seen, again, strict=True)):
        return "played again from its seed and actions, an episode goes differently"
    return ""


def _made(make: Callable[[], Environment], closing: contextlib.ExitStack) -> Environment:
    """Returns a new environment, watched from now until it is closed."""
    environment = guarded(make())
    closing.callback(environment.close)
    return closing.enter_context(environment)


def _play(environment: Environment) -> tuple[dict[str, np.ndarray], list[np.ndarray], list[Any]]:
    """Returns the state somewhere in an episode, and the actions and what they led to after that."""
    generator, deadline = np.random.default_rng(0), time.monotonic() + SECONDS
    timestep, episodes, since = environment.reset(1), 0, 0
    for _ in range(STEPS):
        timestep = environment.step(_action(environment, generator))
        since += 1
        if (timestep.terminated | timestep.truncated)[0]:
            episodes, since = episodes + 1, 0
        if (episodes and since >= AFTER) or time.monotonic() > deadline:
            break
    state, actions = environment.state(), [_action(environment, generator) for _ in range(AFTER)]
    return state, actions, [timestep.observation, *(environment.step(action) for action in actions)]


def _action(environment: Environment, generator: np.random.Generator) -> np.ndarray:
    action = environment.spec.action
    shape = (1, *action.shape)
    if isinstance(action, Discrete):
        return generator.integers(0, action.num_values, shape).astype(action.dtype)
    low, high = max(action.minimum, -1.0), min(action.maximum, 1.0)
    return generator.uniform(low, high, shape).astype(action.dtype)


def _same(seen: Any, again: Any) -> bool:
    if isinstance(seen, TimeStep) and isinstance(again, TimeStep):
        parts = ("observation", "reward", "terminated", "truncated")
        return all(np.array_equal(getattr(seen, part), getattr(again, part)) for part in parts)
    return np.array_equal(np.asarray(seen), np.asarray(again))
