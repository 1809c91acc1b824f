"""`agentlab check`: an environment of one's own, tried out with random actions before anything is trained in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import numpy as np

from agentlab import errors
from agentlab.environment import Environment
from agentlab.registry import environment_objects
from agentlab.runs.composition import build_environment, choose_task, on_host
from agentlab.spec import EnvironmentSpec, Space, describe, is_array, leaves_of
from agentlab.task import Part
from agentlab.testing.checks import trajectory
from agentlab.testing.checks.lines import Lines
from agentlab.testing.checks.report import Line, run
from agentlab.testing.checks.violation import expect, expect_same, is_same
from agentlab.types import Nest, TimeStep

STEPS = 1_000  # of the trajectory that most lines look at
LONGEST = 5_000  # steps in which an episode without a time limit should end; see `agentlab.loop.evaluation`
BRIEF = 100  # steps of the trajectories that are compared
OVERSTEP = 1e-4  # of a bound's size: what an environment may overstep it by, as rounding does


class EnvironmentLines(Lines):
    """What an environment has to keep to, a line each.

    Attributes:
        part: the environment.
    """

    part: ClassVar[Part]

    def test_made(self) -> None:
        """It can be made, and its spaces are of kinds that agents see and act in."""
        self.spec()

    def test_reset(self) -> None:
        """A reset shows an observation of its space."""
        with self._new() as environment:
            environment.reset(0)

    def test_steps(self) -> None:
        """Steps take random actions and show observations of their space, finite rewards and booleans."""
        trajectory.expect_flags(self.timesteps(), 1)

    def test_bounds(self) -> None:
        """Observations stay within the bounds of their space."""
        # Rounding may overstep a bound a little.
        timesteps = self.timesteps()
        for path, space in leaves_of(self.spec().observation).items():
            low, high = (np.asarray(bound, np.float64) for bound in trajectory.bounds(space))
            slack = [OVERSTEP * np.where(np.isfinite(bound), np.maximum(np.abs(bound), 1.0), 0.0) for bound in (low, high)]
            # [STEPS + 1, 1, *shape] of what is shown, and of what an episode ended with.
            for values in (timesteps.observation, timesteps.final_observation):
                array = leaf_at(values, path)
                right = (array >= low - slack[0]) & (array <= high + slack[1])
                if not right.all():
                    trajectory.expect_between(array, low, high, f"observation {path}".strip())

    def test_seeding(self) -> None:
        """The same seed and actions lead to the same time steps, so that runs can be repeated and resumed."""
        expected = "the same time steps for the same seed: draw from self.np_random, and call super().reset(seed=seed)"
        expect_same(self._brief(0), self._brief(0), expected)

    def test_seeds(self) -> None:
        """Other seeds lead to other episodes."""
        if is_same(self._brief(0), self._brief(1)):
            self.not_applicable("it draws nothing at random in its first 100 steps")

    def test_ends(self) -> None:
        """Episodes end, by themselves or by a time limit."""
        # With a limit there is an end; without one, an end by random actions is a sign of others.
        if self.spec().max_episode_steps is not None or self._ended(self.timesteps()).any():
            return
        more = self._played(LONGEST)
        expect(self._ended(more).any(), f"an end within {LONGEST:,} steps, or a time limit", "neither: " + LIMIT_ADVICE)

    def test_limit(self) -> None:
        """No episode outlasts the time limit, max_episode_steps."""
        limit = self.spec().max_episode_steps
        if limit is None:
            self.not_applicable("it has none, " + LIMIT_ADVICE)
            return
        longest = max(lengths_of(self.timesteps(), running=True), default=0)
        expect(longest <= limit, f"episodes of at most {limit:,} steps", f"one of {longest:,}")

    def test_next_episode(self) -> None:
        """After an end the next episode begins, and takes steps."""
        # An environment that isn't reset ends again at each step.
        lengths = lengths_of(self.timesteps())
        stuck = len(lengths) > 3 and lengths[0] > 1 and set(lengths[1:]) == {1}
        expect(
            not stuck,
            "a new episode after the end of one",
            f"episodes of 1 step after the first of {lengths[0]}" if stuck else "",
        )

    def spec(self) -> EnvironmentSpec:
        """Returns the environment's spec."""

        def ask() -> EnvironmentSpec:
            with self._new() as environment:
                return environment.spec

        return self._once("_spec", ask)

    def timesteps(self) -> TimeStep:
        """Returns the time steps of STEPS random actions, leaves `[STEPS + 1, 1, ...]`; they are timed."""
        return self._once("_timesteps", lambda: self._played(STEPS, is_timed=True))

    def speed(self) -> float:
        """Returns the environment's steps per second in `timesteps`, resets included."""
        self.timesteps()
        return STEPS / self._once("_seconds", lambda: 0.0)

    def _played(self, steps: int, seed: int = 0, is_timed: bool = False) -> TimeStep:
        # The actions are the same whatever the environment's seed.
        actions = trajectory.random_actions(self.spec(), steps, 1, seed=0)
        with self._new() as environment:
            began = time.perf_counter()
            timesteps = trajectory.on_host(environment, seed, actions)
            seconds = time.perf_counter() - began
        if is_timed:
            self._once("_seconds", lambda: seconds)
        return timesteps

    def _brief(self, seed: int) -> TimeStep:
        return self._played(BRIEF, seed)

    @staticmethod
    def _ended(timesteps: TimeStep) -> np.ndarray:
        return timesteps.terminated | timesteps.truncated

    @contextlib.contextmanager
    def _new(self) -> Iterator[Environment]:
        environment = on_host(build_environment(self.part, 1), 1)
        try:
            yield environment
        finally:
            environment.close()


def _described(space: Space) -> str:
    low, high = (np.ravel(bound) for bound in trajectory.bounds(space))
    between = f", {low.min():g} to {high.max():g}" if is_array(space) and np.isfinite([*low, *high]).any() else ""
    return f"{describe(space)}{between}"


LIMIT_ADVICE = "set environment.arguments.max_episode_steps, or truncate episodes yourself"


def leaf_at(values: Nest, path: str) -> np.ndarray:
    """Returns the array of a nest at a path of `agentlab.spec.leaves_of`."""
    for name in path.split("/") if path else []:
        values = values[name.replace("~1", "/").replace("~0", "~")]
    return np.asarray(values)


def lengths_of(timesteps: TimeStep, running: bool = False) -> list[int]:
    """Returns the lengths of the episodes of a trajectory of one row, with that of the unfinished one if `running`."""
    # [N] turns at which an episode ended; the reset is turn 0.
    ends = np.flatnonzero((timesteps.terminated | timesteps.truncated)[:, 0])
    lengths = np.diff(np.concatenate([[0], ends])).tolist()
    return [*lengths, int(len(timesteps.reward) - 1 - (ends[-1] if len(ends) else 0))] if running else lengths


@attrs.frozen
class EnvironmentReport:
    """What `check` has found out about an environment.

    Attributes:
        name: of the environment.
        lines: what it keeps to, and what it doesn't.
        facts: what an agent sees and does, and figures of the trajectory, by their name; empty where a line was broken early.
    """

    name: str
    lines: tuple[Line, ...]
    facts: dict[str, str]

    @property
    def is_fine(self) -> bool:
        """Whether no rule failed."""
        return not any(line.state == "failed" for line in self.lines)


class EnvironmentCheck:
    """Checks an environment line by line.

    Args:
        environment: its name or an object, as of `agentlab.run`.
        settings: of the environment, such as `arguments` and `wrappers`.

    Raises:
        UsageError: no environment is meant, or it can't be made.
    """

    def __init__(self, environment: Any, settings: dict[str, Any] | None = None) -> None:
        is_name = isinstance(environment, str)
        part = environment_objects.named_part(environment) if is_name else environment_objects.part_of(environment)
        self._part = attrs.evolve(part, settings={**part.settings, **(settings or {})})
        self._class = type("EnvironmentLines", (EnvironmentLines,), {"part": self._part})
        # What can't be made has no lines: the error is raised here.
        self._class().spec()
        self._lines: list[Line] = []

    @property
    def name(self) -> str:
        """The name of the environment, for messages."""
        return environment_objects.display_name(str(self._part.settings.get("id", self._part.name)))

    def lines(self) -> Iterator[Line]:
        """Yields the result of each line, one after the other."""
        for line in run(self._class):
            self._lines.append(line)
            yield line

    def report(self) -> EnvironmentReport:
        """Returns the report, once all lines were taken."""
        # Without whole time steps there are no figures.
        is_playable = all(line.state != "failed" for line in self._lines[:3])
        return EnvironmentReport(self.name, tuple(self._lines), self._facts() if is_playable else {})

    def _facts(self) -> dict[str, str]:
        lines: EnvironmentLines = self._class()
        spec, timesteps = lines.spec(), lines.timesteps()
        # Returns are of whole episodes; the last one was cut off.
        rewards, lengths = timesteps.reward[1:, 0], lengths_of(timesteps)
        returns = [float(part.sum()) for part in np.split(rewards, np.cumsum(lengths))][: len(lengths)]
        facts: dict[str, str] = {}
        # A line for each part of what it sees and does.
        for verb, nest in (("sees", spec.observation), ("does", spec.action)):
            facts |= {f"{verb} {path}".strip(): _described(space) for path, space in leaves_of(nest).items()}
        facts["reward"] = f"{rewards.min():g} to {rewards.max():g}, mean {rewards.mean():.3g}, by random actions"
        if lengths:
            facts["episodes"] = f"{np.mean(lengths):.1f} steps and a return of {np.mean(returns):.3g} on average"
        facts["time limit"] = "none" if spec.max_episode_steps is None else f"{spec.max_episode_steps:,} steps"
        facts["speed"] = f"{lines.speed():,.0f} steps/s in one environment"
        facts["task"] = self._task()
        return facts

    def _task(self) -> str:
        try:
            return choose_task({"environment": environment_objects.table_of(self._part)}).reason
        except errors.UsageError as error:
            return str(error)


def check(environment: Any, settings: dict[str, Any] | None = None) -> EnvironmentReport:
    """Tries out an environment with random actions, and returns what it keeps to and what an agent sees of it.

    Args:
        environment: its name, file or an object, as of `agentlab.run`.
        settings: of the environment part, such as `{"arguments": {"max_episode_steps": 200}}`.

    Raises:
        UsageError: no environment is meant, or it can't be made.
    """
    checking = EnvironmentCheck(environment, settings)
    for _ in checking.lines():
        pass
    return checking.report()
