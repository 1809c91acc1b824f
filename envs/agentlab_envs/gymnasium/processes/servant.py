"""Serves the requests to one environment, in the worker that it lives in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from agentlab import errors
from agentlab.system import tracebacks
from agentlab.types import Nest
from agentlab_envs.gymnasium.processes.backend import Answer
from agentlab_envs.gymnasium.processes.board import Outcome
from agentlab_envs.gymnasium.rows import Row

FINE, FAULT, MISSING = "fine", "fault", "missing"  # kinds of answers: a result, what went wrong, the package that is missing


class Servant:
    """An environment, which is made at the request "make".

    Args:
        make: returns the environment.
        row: its place in the vector.
        same_step: whether an episode's end and the next one's beginning are one step.
        mask: of the allowed actions, see `masks.mask_space`.
        show: makes an answer of what came of a step or reset: writes it where the vector sees it and returns None, or returns
            it.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        row: int,
        same_step: bool,
        mask: str,
        show: Callable[[Outcome], Outcome | None],
    ) -> None:
        self._make, self._row, self._same_step, self._mask, self._show = make, row, same_step, mask, show
        self._env: Row

    def answer(self, number: int, command: str, data: Any) -> Answer:
        """Returns the answer to a request, whatever the environment raises.

        Args:
            number: of the request, which the answer has too.
            command: "make", "reset", "step", "render", "set" or "close".
            data: that goes with it.
        """
        try:
            return number, FINE, self._result(command, data)
        except gymnasium.error.DependencyNotInstalled as error:
            return number, MISSING, str(error)
        except errors.EnvironmentFault as fault:
            return number, FAULT, str(fault)
        except BaseException as error:
            return number, FAULT, f"row {self._row} raised {tracebacks.describe_error(error)}"

    def _result(self, command: str, data: Any) -> Any:
        if command == "step":
            return self._show(self._step(data))
        if command == "reset":
            seed, options = data
            return self._show((0.0, False, False, None, self._env.reset(seed=seed, options=options)[0]))
        if command == "make":
            self._env = Row(self._make(), self._mask)
            self._env.row = self._row
            return self._env.observation_space, self._env.action_space
        if command == "set":
            return setattr(self._env, *data)
        return self._env.render() if command == "render" else self._env.close()

    def _step(self, action: Nest) -> Outcome:
        observation, reward, terminated, truncated, _ = self._env.step(action)
        final = None
        if self._same_step and (terminated or truncated):
            final, (observation, _) = observation, self._env.reset()
        return reward, terminated, truncated, final, observation


def uncrossable(row: int, error: BaseException) -> str:
    """Returns what went wrong if an answer can't be sent."""
    return f"row {row} returned what can't cross between processes: {tracebacks.describe_error(error)}"
