"""Checks of whole time steps and of actions against an environment's spec, and what is raised where one is wrong."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from agentlab.checks.values import Values, as_ends, as_rewards, short, without_least
from agentlab.errors import EnvironmentFault, UsageError
from agentlab.spec import EnvironmentSpec, blank, describe, map_space
from agentlab.types import Nest, TimeStep, is_empty


@attrs.frozen(eq=False)
class CheckedTimeStep(TimeStep):
    """A time step that its environment has checked already, so that the loop spares a second check."""


class TimeStepCheck:
    """Whether time steps are what a spec says; and their arrays in its dtypes.

    Args:
        spec: of the environment.
        rows: B.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        self._spec = spec
        self._rows = rows
        self._all = np.ones(rows, np.bool_)
        self._observation = Values(spec.observation, "observation")
        self._final_observation = Values(spec.observation, "final_observation")
        self._target = None if spec.target is None else Values(map_space(without_least, spec.target), "target")
        self._action = Values(spec.action, "action")

    def beginning(self, timestep: Any) -> TimeStep:
        """Returns the time step of a reset with arrays of the spec's dtypes; it may lack a target, as no action led there.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if isinstance(timestep, TimeStep):
            timestep = attrs.evolve(timestep, acted=np.zeros(self._rows, np.bool_))
        return self.timestep(timestep)

    def timestep(self, timestep: Any) -> TimeStep:
        """Returns the time step with arrays of the spec's dtypes.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if not isinstance(timestep, TimeStep):
            raise EnvironmentFault(f"it returned {short(timestep)}; expected an agentlab.TimeStep.")
        rows = self._rows
        observation = final_observation = self._observation.arrays(timestep.observation, rows)
        if timestep.final_observation is not timestep.observation:
            final_observation = self._final_observation.arrays(timestep.final_observation, rows)
        acted = self._all if timestep.acted is True else as_ends(timestep.acted, rows, "acted")
        return CheckedTimeStep(
            observation=observation,
            reward=as_rewards(timestep.reward, rows),
            terminated=as_ends(timestep.terminated, rows, "terminated"),
            truncated=as_ends(timestep.truncated, rows, "truncated"),
            final_observation=final_observation,
            target=self._checked_target(timestep.target, acted),
            acted=acted,
        )

    def _checked_target(self, target: Any, acted: np.ndarray) -> Nest:
        if self._target is None:
            return ()
        if is_empty(target):
            if acted.any():
                raise EnvironmentFault(
                    f"it has no target; expected a {describe(self._spec.target or self._spec.action)} for every row."
                )
            return self._blank_target()
        return self._target.arrays(target, self._rows)

    def _blank_target(self) -> Nest:
        """Returns what stands for the targets of rows to which no action led."""
        return blank(self._spec.target or self._spec.action, self._rows)

    def action(self, action: Any) -> Nest:
        """Returns actions `[B, *A]`, counted from 0 where they are choices, as arrays of the spec's dtypes.

        Raises:
            EnvironmentFault: they are not actions of the spec; the message is a clause.
        """
        return self._action.arrays(action, self._rows)


class EnvironmentCheck:
    """Checks each time step of an environment on the host, unless the environment did.

    Args:
        spec: of the environment.
        rows: B.

    Attributes:
        turns: steps taken since the beginning, for messages.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        self.turns = 0
        self._name = spec.name
        self._check = TimeStepCheck(spec, rows)

    def begin(self, timestep: Any) -> TimeStep:
        """Returns the time step of a reset, checked.

        Raises:
            EnvironmentFault: something is wrong with it.
        """
        try:
            return self._check.beginning(timestep)
        except EnvironmentFault as error:
            raise failure(self._name, 0, str(error)) from error

    def take(self, timestep: Any, action: Nest) -> TimeStep:
        """Returns the time step that `action` `[B, *A]` led to, checked.

        Raises:
            EnvironmentFault: something is wrong with it.
            UsageError: something is wrong with the action.
        """
        self.turns += 1
        if timestep.__class__ is CheckedTimeStep:
            return timestep
        try:
            self._check.action(action)
        except EnvironmentFault as error:
            raise unfit_action(self._name, self.turns, str(error)) from error
        try:
            return self._check.timestep(timestep)
        except EnvironmentFault as error:
            raise failure(self._name, self.turns, str(error)) from error


def failure(name: str, turn: int, clause: str) -> EnvironmentFault:
    """Returns the fault of an environment at its vector step `turn`, 0 being the reset."""
    when = f"vector step {turn}" if turn else "reset"
    return EnvironmentFault(f"The environment {name} failed at {when}: {clause.rstrip('.')}.")


def unfit_action(name: str, turn: int, clause: str) -> UsageError:
    """Returns what tells of actions that an environment doesn't take, at its vector step `turn`."""
    return UsageError(f"{name} can't take its actions at vector step {turn}: {clause}")
