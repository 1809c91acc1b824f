"""Tests that both kinds of environments have in common."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import tensorflow as tf

from agentlab.spec import EnvironmentSpec, Space, SpaceNest, leaves_of
from agentlab.testing.checks import trajectory
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.trajectory import Actions
from agentlab.testing.checks.violation import expect, expect_same, is_same
from agentlab.testing.probes.untouched import expect_untouched, observing
from agentlab.types import Nest, TimeStep

ROWS = 4


class EnvironmentTests(Suite):
    """Tests that both kinds of environments have in common.

    Attributes:
        turns: steps of the trajectories that are looked at.
    """

    kind: ClassVar[str] = "environment"
    turns: ClassVar[int] = 30

    @abc.abstractmethod
    def trajectory(self, seed: int = 0, actions: Actions | None = None) -> TimeStep:
        """Returns a new environment's time steps under random actions, or those given, of each turn `[ROWS, *A]`."""

    @abc.abstractmethod
    def spec(self) -> EnvironmentSpec:
        """Returns the spec of a new environment."""

    def actions(self, seed: int = 0) -> list[Nest]:
        """Returns random actions of each turn, leaves `[ROWS, *A]`."""
        return trajectory.random_actions(self._spec(), self.turns, ROWS, seed)

    def test_spec(self) -> None:
        """`spec` is an EnvironmentSpec of arrays and choices, and the same whenever asked."""
        spec = self.spec()
        expect(isinstance(spec, EnvironmentSpec), "an agentlab.spec.EnvironmentSpec", repr(spec))
        for name, space in (("observations", spec.observation), ("actions", spec.action)):
            expect(_is_nest(space), f"{name} that are a space of agentlab.spec, or a mapping of names to such", repr(space))
        expect(spec == self.spec(), "the same spec from every instance", "another")

    def test_observations(self) -> None:
        """Observations have the shape, dtype and range that the spec says, and are finite."""
        timesteps, spec = self._trajectory(), self._spec()
        for name in ("observation", "final_observation"):
            trajectory.expect_within(getattr(timesteps, name), spec.observation, ROWS, name)

    def test_rewards_and_ends(self) -> None:
        """Rewards are finite float32 `[B]`, never None; terminated, truncated and acted are bool `[B]`."""
        trajectory.expect_flags(self._trajectory(), ROWS)

    def test_reset(self) -> None:
        """After a reset nothing has happened: reward 0, nothing terminated or truncated, and nobody acted."""
        trajectory.expect_nothing_happened(self._trajectory())

    def test_final_observation(self) -> None:
        """Where no episode ended, observation is final_observation; where one did, it is the next episode's first."""
        trajectory.expect_final(self._trajectory())

    def test_target(self) -> None:
        """The target is the right answer to the action just taken, as the spec says, or ()."""
        trajectory.expect_targets(self._trajectory(), self._spec(), ROWS)

    def test_time_limit(self) -> None:
        """No episode outlasts the spec's max_episode_steps, and one that is cut off there is truncated."""
        limit = self._spec().max_episode_steps
        if limit is None:
            self.not_applicable("its spec has no max_episode_steps")
            return
        expect(isinstance(limit, int) and limit > 0, "max_episode_steps of at least 1, or None", repr(limit))

        # [rows] the length of each episode so far; steps of a reset don't count.
        timesteps = self._trajectory()
        ended = timesteps.terminated | timesteps.truncated
        lengths = np.zeros(ROWS, int)
        for turn in range(1, len(ended)):
            lengths += timesteps.acted[turn]
            late = (lengths >= limit) & ~ended[turn]
            expect(not late.any(), f"an end by step {limit} of every episode", f"a step {limit} in row {late.argmax()} without")
            lengths[ended[turn]] = 0

    def test_actions_matter(self) -> None:
        """Other actions in one row lead elsewhere in that row, and nowhere else in the other rows."""
        if self._spec().is_recorded:
            self.not_applicable("it shows what somebody else did")
            return
        changed = [_with_first_row(*pair) for pair in zip(self.actions(), self.actions(seed=1), strict=True)]
        one, other = self._trajectory(), self.trajectory(0, changed)
        for index in range(1, ROWS):
            expected = "rows that do not depend on each other's actions"
            expect_same(trajectory.row(one, index), trajectory.row(other, index), expected)
        expect(not is_same(trajectory.row(one, 0), trajectory.row(other, 0)), "other actions to lead elsewhere", "the same")

    def test_same_seed(self) -> None:
        """The same seed and actions lead to the same trajectory, bit by bit, from another instance too."""
        expect_same(self._trajectory(), self._again()[0], "the same trajectory for the same seed")

    def test_running_touches_nothing(self) -> None:
        """Stepping leaves random states, logging and other global state alone."""
        expect_untouched("stepping the environment", self._again()[1])

    def expect_seeded(self, drawn: bool | None = None, trajectory_of: Callable[[int, Actions], TimeStep] | None = None) -> bool:
        """Raises a Violation unless draws follow the seed and differ from row to row; returns whether there are any.

        Args:
            drawn: whether there are any; None to tell by rows that differ.
            trajectory_of: makes the trajectories, of a seed and actions; None for `trajectory`.
        """
        # The same actions in all rows: any difference between rows is a draw.
        actions = [_with_rows_alike(action) for action in self.actions()]  # rows differ by draws alone
        one, other = ((trajectory_of or self.trajectory)(seed, actions) for seed in (1, 2))
        if drawn is None:
            drawn = not all(is_same(trajectory.row(one, 0), trajectory.row(one, row)) for row in range(1, ROWS))
        if drawn:
            expect(not is_same(one, other), "another trajectory for another seed", "the same")

        # Environments without draws are the same in every row, whatever the seed.
        if not is_same(one, other):
            alike = [index for index in range(1, ROWS) if is_same(trajectory.row(one, 0), trajectory.row(one, index))]
            expect(not alike, "a draw of its own for every row", f"rows 0 and {alike[:1]} that are alike")
        return drawn or not is_same(one, other)

    def _trajectory(self) -> TimeStep:
        """Returns the trajectory of seed 0, made once for all tests of the class."""
        return self._once("_made", self.trajectory)

    def _again(self) -> tuple[TimeStep, list[str]]:
        """Returns the trajectory of seed 0 of another instance, and the global state that it changed."""

        def observed() -> tuple[TimeStep, list[str]]:
            with observing() as changed:
                timesteps = self.trajectory()
            return timesteps, changed

        return self._once("_made_again", observed)

    def _spec(self) -> EnvironmentSpec:
        """Returns the spec, asked for once for all tests of the class."""
        return self._once("_asked", self.spec)


def _is_nest(space: SpaceNest) -> bool:
    """Whether there is a space at every leaf, and a leaf at all."""
    spaces = leaves_of(space).values()
    return bool(spaces) and all(isinstance(leaf, Space) for leaf in spaces)


def _with_first_row(action: Nest, other: Nest) -> Nest:
    """Returns actions `[ROWS, *A]` with the first row of the other ones."""
    return tf.nest.map_structure(lambda one, two: np.concatenate([two[:1], one[1:]]), action, other)


def _with_rows_alike(action: Nest) -> Nest:
    """Returns actions `[ROWS, *A]` with the first row in every row."""
    return tf.nest.map_structure(lambda leaf: np.repeat(leaf[:1], len(leaf), axis=0), action)
