"""One turn of the step/reward loop: decide, step the environment, observe. The only place where that is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agentlab.types import Decision, Nest, Tensor, TimeStep, is_empty


class Actor(Protocol):
    """Whatever decides and observes in `turn`: an agent that learns, one that only acts, or a compiled form of either."""

    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Returns actions for observations `[B, *O]`; `state` is the model's `[B, ...]`, or `()`."""

    def perceive(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what the agent sees of the time step that actions `[B, *A]` led to; see `agentlab.loop.perception`."""

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led."""

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun (`[B]` bool)."""


StepEnvironment = Callable[[Nest, Nest], tuple[Nest, TimeStep]]


def turn(
    actor: Actor, step_environment: StepEnvironment, environment_state: Nest, observation: Nest, state: Nest
) -> tuple[Nest, TimeStep, Nest]:
    """Takes one step in every environment: `decide`, environment, `observe`.

    Args:
        actor: decides and observes.
        step_environment: from (environment state, action) to (environment state, time step).
        environment_state: whatever `step_environment` takes.
        observation: `[B, *O]`, to act on, as the actor perceives it.
        state: the model's own `[B, ...]`, or `()`.

    Returns:
        The environment's state, the time step that the actions led to, as the actor perceives it, and the model's state for the
        next turn.
    """
    decision = actor.decide(observation, state)
    environment_state, timestep = step_environment(environment_state, decision.action)
    timestep = actor.perceive(timestep, decision.action)
    actor.observe(decision, timestep)
    return environment_state, timestep, restarted(actor, decision.next_state, timestep)


def restarted(actor: Actor, state: Nest, timestep: TimeStep) -> Nest:
    """Returns the model's state for the turn after a time step; most models have none, and nothing is to be reset."""
    return state if is_empty(state) else actor.restart(state, timestep.begun)
