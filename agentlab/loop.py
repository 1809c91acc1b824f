"""One turn of the step/reward loop: act, step the environment, learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentlab.agent import Agent
from agentlab.types import TimeStep


def turn(
    agent: Agent, step_environment: Callable[[Any, Any], tuple[Any, TimeStep]], state: Any, observation: Any
) -> tuple[Any, TimeStep]:
    """Takes one step in every environment: `decide`, environment, `observe`.

    Args:
        agent: decides and observes.
        step_environment: from (state, action) to (state, time step).
        state: of the environment; whatever `step_environment` takes.
        observation: `[B, *O]`, to act on.

    Returns:
        The state and time step that the actions led to.
    """
    action = agent.decide(observation)
    state, timestep = step_environment(state, action)
    agent.observe(observation, action, timestep)
    return state, timestep
