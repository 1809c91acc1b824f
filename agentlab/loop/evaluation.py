"""Evaluation: whole episodes of the trained policy, in any Environment."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.environment import Environment
from agentlab.errors import Interrupted, RunWarning, UsageError
from agentlab.loop.guard import guarded
from agentlab.loop.policy import Policy
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.model import initial_state, restarted
from agentlab.runs.part_faults import parts_guarded
from agentlab.spec import Array, Discrete
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.trainer import Score
from agentlab.types import TimeStep, Transition

LONGEST = 5_000  # steps of an episode, where neither the environment nor the task has a limit

NewScore = Callable[[], Score | None]
Show = Callable[[int, int, int], None]


class Evaluator:
    """Judges a policy over a number of whole episodes, the same ones every time for the same stream.

    Every row plays its share of the episodes from start to end, so that short episodes are not counted more often than long
    ones.

    Args:
        environment: of B rows.
        policy: acts; its draws begin anew at each evaluation.
        episodes: how many.
        seed: the run's seed.
        new_score: makes what the trainer adds to the report, if anything; called at each evaluation.
        max_episode_steps: after which an episode is cut off and counted as far as it got; None for `LONGEST` where the
            environment has no limit of its own.
        show: called after each step of an evaluation with the episodes that have ended, those there are to be, and the steps
            taken so far.

    Raises:
        UsageError: the environment does not show and accept what the policy's does.
    """

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        episodes: int,
        seed: int,
        new_score: NewScore = lambda: None,
        max_episode_steps: int | None = None,
        show: Show = lambda *_: None,
    ) -> None:
        ours, theirs = policy.spec, environment.spec
        if ours.vocabulary != theirs.vocabulary:
            raise UsageError(
                f"The evaluation environment {theirs.name!r} has another vocabulary than the agent was trained with: "
                "its text has changed. Evaluate on the text of the training."
            )
        if ours.observation.shape != theirs.observation.shape or not _is_like(ours.action, theirs.action):
            raise UsageError(
                f"The evaluation environment {theirs.name!r} shows a {theirs.observation} and takes a {theirs.action}; "
                f"expected a {ours.observation} and a {ours.action}, as in {ours.name!r}. Set evaluation.environment alike."
            )
        self._environment = guarded(environment)
        self._limit = max_episode_steps or (LONGEST if theirs.max_episode_steps is None else None)
        self._limit_is_set = max_episode_steps is not None
        self._check = EnvironmentCheck(theirs, environment.num_environments)
        self._policy = policy
        self._new_score = new_score
        self._show = show
        rows = environment.num_environments
        self._share = np.array([episodes // rows + (row < episodes % rows) for row in range(rows)])
        self._seed = seed

    @parts_guarded()
    def run(self, stream: str = "evaluation", stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Returns `episodes`, `return_mean`, `return_std`, `episode_length_mean` and the entries of the trainer's score.

        Where episodes were cut off, `episodes_cut_off` counts them.

        Args:
            stream: of randomness, from which the episodes start.
            stop: asked before each step.

        Raises:
            Interrupted: `stop` answered True.
        """
        self._policy.steps.assign(0)
        score, count = self._new_score(), _Count(self._share, self._limit)
        steps, total = 0, int(self._share.sum())
        with self._environment:
            timestep, recurrent = self._reset(stream)
            while count.missing():
                if stop():
                    raise Interrupted("The evaluation was interrupted.")
                if count.waiting():
                    timestep, recurrent = self._reset(f"{stream}, from step {steps}")
                    count.restart()
                timestep, recurrent = self._step(timestep, recurrent, count, score)
                steps += 1
                self._show(len(count.returns), total, steps)
        self._warn(count.cut_off, total)
        with keras_defaults():
            scored = score.result() if score is not None else {}
        result = count.result()
        if taken := sorted(result.keys() & scored.keys()):
            raise UsageError(
                f"The trainer's score has an entry {taken[0]!r}, as every evaluation has. Rename it in its result."
            )
        return {**result, **scored}

    def _reset(self, stream: str) -> tuple[TimeStep, Any]:
        first = self._check.begin(self._environment.reset(seeds.host_seed(self._seed, stream)))
        self._check.turns = 0
        return first, initial_state(self._policy.model, self._environment.num_environments)

    def _step(self, timestep: TimeStep, recurrent: Any, count: _Count, score: Score | None) -> tuple[TimeStep, Any]:
        """Acts on a time step; returns the next one and the model's state for it."""
        decision = self._policy.respond(timestep.observation, recurrent)
        action = decision.action.numpy()
        acted_on = None if score is None else (timestep.observation.copy(), action.copy())  # the environment has the others
        following = self._check.take(self._environment.step(action), action)

        acted = np.ones(len(action), np.bool_) if isinstance(following.first, tuple) else ~following.first
        if score is not None and acted_on is not None:
            transition = Transition.between(*acted_on, following)
            with keras_defaults():
                _add(score, decision.output.numpy(), transition, acted & count.counting())
        count.add(following, acted)
        if recurrent == ():
            return following, ()
        return following, restarted(self._policy.model, decision.recurrent, tf.constant(following.begun))

    def _warn(self, cut_off: int, total: int) -> None:
        """Warns of episodes that a limit cut off which nobody has set."""
        if cut_off and not self._limit_is_set:
            warnings.warn(
                f"{cut_off:,} of {total:,} episodes of the evaluation in {self._environment.spec.name!r} had not ended after "
                f"{self._limit:,} steps; they were cut off there and count as far as they got. Set "
                "evaluation.max_episode_steps to cut them off sooner or later.",
                RunWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        """Releases the environment."""
        self._environment.close()


class _Count:
    """Counts each row's share of the episodes, from start to end.

    An environment has no way to begin a single episode, so a row whose episode was cut off waits for the others.

    Args:
        share: `[B]`, episodes of each row.
        limit: steps after which an episode is cut off; None for none.

    Attributes:
        returns: of the episodes counted so far.
        cut_off: how many of them didn't end by themselves.
    """

    def __init__(self, share: np.ndarray, limit: int | None) -> None:
        self.returns: list[float] = []
        self.cut_off = 0
        self._lengths: list[float] = []
        self._left, self._limit = share.copy(), limit
        self._waits = np.zeros(len(share), np.bool_)
        self._statistics = EpisodeStatistics.start(len(share))

    def missing(self) -> bool:
        """Returns whether there are episodes to come."""
        return bool(self._left.any())

    def counting(self) -> np.ndarray:
        """Returns which rows `[B]` are in an episode that counts."""
        return (self._left > 0) & ~self._waits

    def waiting(self) -> bool:
        """Returns whether no row gets any further before all episodes begin anew."""
        return self._limit is not None and not self.counting().any()

    def restart(self) -> None:
        """Takes in that all episodes begin anew."""
        self._waits[:] = False
        self._statistics = EpisodeStatistics.start(len(self._left))

    def add(self, timestep: TimeStep, acted: np.ndarray) -> None:
        """Takes in a step of all rows, of which some `acted` `[B]`."""
        statistics = self._statistics.reported().continued(timestep.reward, acted)
        ended, counting = timestep.terminated | timestep.truncated, self.counting()
        if self._limit is not None:
            overlong = counting & ~ended & (statistics.running_length >= self._limit)
            self._waits |= overlong
            self.cut_off += int(np.count_nonzero(overlong))
            ended = ended | overlong
        self._statistics = statistics = statistics.closed(ended)

        counted = ended & counting
        self.returns.extend(statistics.return_sum[counted].tolist())
        self._lengths.extend(statistics.length_sum[counted].tolist())
        self._left = self._left - counted

    def result(self) -> dict[str, Any]:
        """Returns the figures."""
        return {
            "episodes": len(self.returns),
            "return_mean": float(np.mean(self.returns)),
            "return_std": float(np.std(self.returns)),
            "episode_length_mean": float(np.mean(self._lengths)),
            **({"episodes_cut_off": self.cut_off} if self.cut_off else {}),
        }


def _add(score: Score, output: np.ndarray, transition: Transition, rows: np.ndarray) -> None:
    """Adds the decisions of those `rows` (`[B]` bool) that count."""
    score.add(output[rows], tf.nest.map_structure(lambda leaf: np.asarray(leaf)[rows], transition))


def _is_like(ours: Array | Discrete, theirs: Array | Discrete) -> bool:
    """Whether actions of the one kind are actions of the other, whatever their dtypes."""
    if isinstance(ours, Discrete) and isinstance(theirs, Discrete):
        return (ours.num_values, ours.shape) == (theirs.num_values, theirs.shape)
    return isinstance(ours, Array) and isinstance(theirs, Array) and ours.shape == theirs.shape
