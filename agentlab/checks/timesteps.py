"""Checks time steps and actions against an environment's spec."""

from __future__ import annotations

import attrs
import numpy as np

from agentlab.checks.values import Values, as_ends, as_rewards, short
from agentlab.errors import EnvironmentFault, UsageError, failed_call
from agentlab.spec import EnvironmentSpec, blank, describe, targets_of
from agentlab.types import Nest, TimeStep, is_empty


@attrs.frozen(eq=False)
class CheckedTimeStep(TimeStep):
    """A time step that its environment has checked already, so that the loop doesn't check it again."""


class TimeStepCheck:
    """Checks time steps against a spec, and converts their arrays to its dtypes.

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
        self._target = None if spec.target is None else Values(targets_of(spec.target), "target")
        self._action = Values(spec.action, "action")

    def beginning(self, timestep: object) -> TimeStep:
        """Returns the time step of a reset with arrays of the spec's dtypes; it may lack a target, as no action led there.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if isinstance(timestep, TimeStep):
            timestep = attrs.evolve(timestep, acted=np.zeros(self._rows, np.bool_))
        return self.timestep(timestep)

    def timestep(self, timestep: object) -> TimeStep:
        """Returns the time step with arrays of the spec's dtypes.

        Raises:
            EnvironmentFault: something is wrong with it; the message is a clause.
        """
        if not isinstance(timestep, TimeStep):
            raise EnvironmentFault(f"it returned {short(timestep)}; expected an agentlab.TimeStep.")

        # Most environments show one array twice, which is then converted once.
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

    def _checked_target(self, target: object, acted: np.ndarray) -> Nest:
        if self._target is None:
            # Rows that were only being reset have no answer.
            return ()
        if is_empty(target):
            if acted.any():
                raise EnvironmentFault(
                    f"it has no target; expected a {describe(self._spec.target or self._spec.action)} for every row."
                )
            return self._blank_target()
        return self._target.arrays(target, self._rows)

    def _blank_target(self) -> Nest:
        """Returns placeholders for the targets of rows to which no action led."""
        return blank(self._spec.target or self._spec.action, self._rows)

    def action(self, action: object) -> Nest:
        """Returns actions `[B, *A]`, counted from 0 where they are choices, as arrays of the spec's dtypes.

        Raises:
            EnvironmentFault: they are not actions of the spec; the message is a clause.
        """
        return self._action.arrays(action, self._rows)


class EnvironmentCheck:
    """Checks each time step of an environment on the host, unless the environment has checked it.

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

    def begin(self, timestep: object) -> TimeStep:
        """Returns the time step of a reset, checked.

        Raises:
            EnvironmentFault: something is wrong with it.
        """
        try:
            return self._check.beginning(timestep)
        except EnvironmentFault as error:
            raise failure(self._name, 0, str(error)) from error

    def take(self, timestep: object, action: Nest) -> TimeStep:
        """Returns the time step that `action` `[B, *A]` led to, checked.

        Raises:
            EnvironmentFault: something is wrong with it.
            UsageError: something is wrong with the action.
        """
        # A time step from a wrapper that checks already needs no second look.
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
    return failed_call(name, when, clause)


def unfit_action(name: str, turn: int, clause: str) -> UsageError:
    """Returns the error for actions that an environment doesn't take, at its vector step `turn`."""
    return UsageError(f"{name} can't take its actions at vector step {turn}: {clause}")
