"""Own loop: the time steps that a program hands to an agent are checked before the agent takes them."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.checks.timesteps import TimeStepCheck
from agentlab.checks.values import as_end, as_reward, is_missing
from agentlab.spec import EnvironmentSpec, conform
from agentlab.types import TimeStep


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
        space = self._spec.observation
        observation = conform(timestep.observation, space, "The agent")
        batched = observation.ndim > len(space.shape)
        rows = len(observation) if batched else 1
        if rows != self._rows:
            raise errors.UsageError(f"The agent got {rows} observations; expected {self._rows}, one per environment.")
        try:
            return self._check.timestep(timestep if batched else _with_batch_axis(timestep)), batched
        except errors.EnvironmentFault as error:
            raise errors.UsageError(f"The agent's step {call:,} can't take its time step: {error}") from error


def _with_batch_axis(timestep: TimeStep) -> TimeStep:
    """Returns one environment's time step as one of a batch."""
    observation = np.asarray(timestep.observation)[None]
    same = timestep.final_observation is timestep.observation
    return attrs.evolve(
        timestep,
        observation=observation,
        reward=[as_reward(timestep.reward, 0)],
        terminated=[as_end(timestep.terminated, 0, "terminated")],
        truncated=[as_end(timestep.truncated, 0, "truncated")],
        final_observation=observation if same else _one(timestep.final_observation),
        target=() if is_missing(timestep.target) else _one(timestep.target),
        first=() if is_missing(timestep.first) else [as_end(timestep.first, 0, "first")],
    )


def _one(value: Any) -> Any:
    """Returns a value with a batch axis of one row before it."""
    try:
        return np.asarray(value)[None]
    except (ValueError, TypeError):
        return [value]  # is no array, as the check tells
