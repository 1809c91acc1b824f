"""Whether episodes end: a warning where none does, in an environment without a time limit."""

from __future__ import annotations

import warnings

from agentlab import errors
from agentlab.loop.evaluation import LONGEST
from agentlab.spec import EnvironmentSpec
from agentlab.tracker import Metrics, TrackedRun, Tracker


class EndlessEpisodes(Tracker):
    """Warns, once, when no episode has ended after as many steps as an evaluation waits for one.

    Environments that know the right answers are left out: nobody waits for the end of a data set.

    Args:
        spec: of the environment.
        num_environments: B.
    """

    def __init__(self, spec: EnvironmentSpec, num_environments: int) -> None:
        self._name, self._rows = spec.name, num_environments
        self._watching = spec.max_episode_steps is None and spec.target is None
        self._begin = 0

    def begin(self, run: TrackedRun) -> None:
        """Starts to count at the step at which training begins, or is resumed."""
        self._begin = run.step

    def line(self, metrics: Metrics) -> None:
        if metrics["episodes"]:  # that have ended since the last report
            self._watching = False
        elif self._watching and metrics["step"] - self._begin >= LONGEST * self._rows:
            self._watching = False
            self._warn(metrics["step"])

    def change(self, metrics: Metrics) -> None:
        """Does nothing: a change of a setting says nothing about episodes."""

    def _warn(self, step: int) -> None:
        warnings.warn(
            f"The environment {self._name!r} has no time limit, and no episode has ended after {step:,} steps, so no returns "
            "are reported and the agent never begins again. Give the environment a time limit (max_episode_steps).",
            errors.RunWarning,
            stacklevel=4,
        )
