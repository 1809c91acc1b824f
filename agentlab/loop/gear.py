"""Gears: what repeats the loop body, a chunk of turns at a time."""

from __future__ import annotations

import abc

import numpy as np

from agentlab.system.ranges import Range

Groups = dict[str, dict[str, np.ndarray]]
Ranges = dict[str, dict[str, Range]]


class Gear(abc.ABC):
    """Runs an agent in its environments, a chunk of turns at a time."""

    name: str

    @abc.abstractmethod
    def start(self) -> None:
        """Resets the environments and compiles what can be compiled before the first step."""

    @abc.abstractmethod
    def run(self, turns: int) -> None:
        """Takes `turns` steps in every environment; how they are divided into calls changes no number.

        Raises:
            EnvironmentFault: an environment failed, or gave a number that is not finite.
        """

    @abc.abstractmethod
    def report(self) -> dict[str, float | None]:
        """Returns the statistics of the episodes that ended since the last report."""

    def inexact(self) -> str:
        """Returns why `restore` can't restore the same bits, as a clause; empty if it can."""
        return ""

    def is_whole(self, has_environment: bool) -> bool:
        """Returns whether a checkpoint with or without a group "environment" holds all that `restore` needs."""
        return True

    @abc.abstractmethod
    def state(self) -> Groups:
        """Returns what `restore` needs besides the agent's variables, by group ("loop", on the host "environment") and name."""

    @abc.abstractmethod
    def ranges(self) -> Ranges:
        """Returns the ranges of those numbers, by the same groups and names."""

    @abc.abstractmethod
    def restore(self, groups: Groups) -> None:
        """Continues from where `state` was taken, after `start`, the agent's variables having been assigned.

        Without a group "environment", as of an environment that keeps its state to itself, new episodes begin.

        Raises:
            EnvironmentFault: the environment doesn't get there.
        """

    def close(self) -> None:  # noqa: B027 - the device gear holds nothing to release
        """Releases the environments."""
