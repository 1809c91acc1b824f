"""The contract of what a person sees of a run besides its metrics."""

from __future__ import annotations

import pathlib


class Display:
    """Shows nothing. What shows a run's progress overrides these."""

    def open(self, directory: pathlib.Path, way: str) -> None:
        """Shows where the run's files are, and in which `way` it runs, before anything is compiled."""

    def phase(self, name: str) -> None:
        """Shows what the run does from now on.

        Args:
            name: one of `agentlab.system.processes.clock.PHASES`, or "save"; empty where one has ended.
        """

    def step(self, step: int) -> None:
        """Shows how many environment steps are taken; called about twice a second."""

    def evaluation(self, ended: int, episodes: int, steps: int) -> None:
        """Shows how far an evaluation is; called after each of its steps."""
