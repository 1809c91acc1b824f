"""One turn of the step/reward loop: act, step the environment, learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras

from agentlab.model import restarted
from agentlab.types import Decision, TimeStep


class Actor(Protocol):
    """What takes turns: an agent that learns, or a policy that only acts."""

    @property
    def model(self) -> keras.Model:
        """Decides."""

    def decide(self, observation: Any, recurrent: Any) -> Decision:
        """Acts on observations `[B, *O]`; traceable."""

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led; traceable."""


def turn(
    agent: Actor, step_environment: Callable[[Any, Any], tuple[Any, TimeStep]], state: Any, observation: Any, recurrent: Any
) -> tuple[Any, TimeStep, Any]:
    """Takes one step in every environment: `decide`, environment, `observe`.

    Args:
        agent: decides and observes.
        step_environment: from (state, action) to (state, time step).
        state: of the environment; whatever `step_environment` takes.
        observation: `[B, *O]`, to act on.
        recurrent: the model's own state `[B, ...]`, or `()`.

    Returns:
        The state and time step that the actions led to, and the model's state, begun anew where an episode ended.
    """
    decision = agent.decide(observation, recurrent)
    state, timestep = step_environment(state, decision.action)
    agent.observe(decision, timestep)
    return state, timestep, restarted(agent.model, decision.recurrent, timestep.begun)
