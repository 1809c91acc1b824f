"""OwnLoop: the loop body for a program that steps the environment itself, between two calls of the agent."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.checks.timesteps import TimeStepCheck
from agentlab.checks.values import as_end, as_reward
from agentlab.loop.host.actors import HostActor
from agentlab.loop.turn import restarted
from agentlab.spec import EnvironmentSpec, conform, copied, is_batch, to_environment
from agentlab.types import Decision, Nest, TimeStep, first_leaf, is_empty, map_leaves


class OwnLoop:
    """Turns the time steps of a program's own loop into actions: observes the last decision's outcome, then decides again.

    Args:
        actor: decides and observes.
    """

    def __init__(self, actor: HostActor) -> None:
        self._actor = actor
        self._perception = actor.learner.policy.perception
        self._spec = self._perception.environment_spec
        self._rows = actor.learner.num_environments
        self._reader = TimeStepReader(self._spec, self._rows)
        self._decision: Decision | None = None
        self._state = actor.learner.policy.initial_state(self._rows)

    def step(self, timestep: TimeStep) -> Nest:
        """Returns the next actions `[B, *A]`, as the environment numbers them; without the batch axis if it was left out.

        A time step that is refused leaves no trace.

        Raises:
            UsageError: something is wrong with it.
        """
        checked, has_batch_axis = self._reader.read(timestep, self._actor.turns + 1)
        action = copied(to_environment(self._next(checked), self._spec.action))
        return action if has_batch_axis else map_leaves(lambda array: array[0], action)

    def _next(self, timestep: TimeStep) -> Nest:
        self._decision = self._actor.decide(self._observed(timestep), self._state)
        return self._decision.action

    def _observed(self, timestep: TimeStep) -> Nest:
        """Takes in where the last decision led, and returns the observations to act on, as the networks see them."""
        if self._decision is None:
            return self._perception.first(timestep.observation)
        timestep = self._actor.perceive(timestep, self._decision.action)
        self._actor.observe(self._decision, timestep)
        self._state = restarted(self._actor, self._decision.next_state, timestep)
        return timestep.observation


class TimeStepReader:
    """Checks the time steps of a program's own loop, and gives those of one environment the batch axis they may lack.

    Args:
        spec: of the environment.
        rows: B.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        self._spec = spec
        self._rows = rows
        self._check = TimeStepCheck(spec, rows)

    def read(self, timestep: Any, call: int) -> tuple[TimeStep, bool]:
        """Returns the time step with arrays `[B, ...]` of the spec's dtypes, and whether it had a batch axis.

        Args:
            timestep: from outside.
            call: number of the agent's step, for messages.

        Raises:
            UsageError: something is wrong with it.
        """
        if not isinstance(timestep, TimeStep):
            raise errors.UsageError(
                f"The agent's step got {type(timestep).__name__} {str(timestep)[:60]!r}; expected an agentlab.TimeStep. "
                "TimeStep.begin(observation) makes an episode's first; 'act' takes observations."
            )

        # [B, *O]; a program with one environment may leave out the batch axis.
        observation = conform(timestep.observation, self._spec.observation, "The agent")
        has_batch_axis = is_batch(self._spec.observation, observation)
        rows = len(first_leaf(observation)) if has_batch_axis else 1
        if rows != self._rows:
            raise errors.UsageError(f"The agent got {rows} observations; expected {self._rows}, one per environment.")
        try:
            return self._check.timestep(timestep if has_batch_axis else _with_batch_axis(timestep)), has_batch_axis
        except errors.EnvironmentFault as error:
            raise errors.UsageError(f"The agent's step {call:,} can't take its time step: {error}") from error


def _with_batch_axis(timestep: TimeStep) -> TimeStep:
    """Returns one environment's time step as one of a batch."""
    # An observation that is passed twice is converted once.
    observation = _one(timestep.observation)
    same = timestep.final_observation is timestep.observation
    return attrs.evolve(
        timestep,
        observation=observation,
        reward=[as_reward(timestep.reward, 0)],
        terminated=[as_end(timestep.terminated, 0, "terminated")],
        truncated=[as_end(timestep.truncated, 0, "truncated")],
        final_observation=observation if same else _one(timestep.final_observation),
        target=() if is_empty(timestep.target) else _one(timestep.target),
        acted=[as_end(timestep.acted, 0, "acted")],
    )


def _one(value: Any) -> Nest:
    """Returns a value with a batch axis of one row before it."""
    if isinstance(value, dict):
        return {name: _one(entry) for name, entry in value.items()}
    try:
        return np.asarray(value)[None]
    except (ValueError, TypeError):
        return [value]  # is no array, as the check says
