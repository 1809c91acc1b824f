"""Evaluation: whole episodes of the trained policy, in any Environment."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.environment import Environment
from agentlab.errors import Interrupted, RunWarning, UsageError
from agentlab.foreign.guard import guarded
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.acting import HostPolicyActor, PolicyActor
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.turn import turn
from agentlab.spec import EnvironmentSpec, copied, describe, spaces_alike
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.trainer import Score
from agentlab.types import Batch, Decision, Nest, Step, TimeStep

LONGEST = 5_000  # steps of an episode, where neither the environment nor the task has a limit

FIGURES = ("episodes", "return_mean", "return_std", "episode_length_mean")  # of every evaluation
CUT_OFF = "episodes_cut_off"  # of those in which some were

NewScore = Callable[[], Score | None]
Show = Callable[[int, int, int], None]
Record = Callable[[Decision, TimeStep, np.ndarray, np.ndarray], None]


class Evaluator:
    """Evaluates a policy; every row plays its share of the episodes from start to end.

    If each row played on until enough episodes had ended anywhere, short and thus often bad episodes would be
    overrepresented.

    Args:
        environment: of the same shapes and dtypes as the policy's; closed by `close`.
        actor: acts.
        episodes: how many.
        seed: the run's seed.
        new_score: makes what the trainer adds to the report, if anything; called at each evaluation.
        max_episode_steps: after which an episode is cut off and counted as far as it got; None for `LONGEST` where the
            environment has no limit of its own.
        show: called after each step of an evaluation with the episodes that have ended, those there are to be, and the steps
            taken so far.
        record: called with each decision and the time step it led to, and the rows (`[B]` bool) in an episode that counts, and
            those of them whose episode ended or was cut off.

    Attributes:
        environment: as given, guarded.
        figures: the names of the numbers that an evaluation may come to.

    Raises:
        UsageError: the environment does not show and accept what the policy's does, or the trainer's score has an entry that
            every evaluation has.
    """

    def __init__(
        self,
        environment: Environment,
        actor: PolicyActor,
        episodes: int,
        seed: int,
        new_score: NewScore = lambda: None,
        max_episode_steps: int | None = None,
        show: Show = lambda *_: None,
        record: Record = lambda *_: None,
    ) -> None:
        spec = environment.spec
        _check_acting(spec)
        _check_alike(actor.policy.perception.environment_spec, spec)
        self.environment = guarded(environment)
        self._limit = max_episode_steps or (LONGEST if spec.max_episode_steps is None else None)
        self._limit_is_set = max_episode_steps is not None
        self._check = EnvironmentCheck(spec, environment.num_environments)
        self._actor = actor
        # Without the answers that were learned from, as where a clone plays by itself, returns say it all.
        lacks_answers = spec.target is None and actor.policy.spec.target is not None
        self._new_score = new_score if not lacks_answers else lambda: None
        self._show, self._record = show, record

        # [B] episodes of each row: fixed beforehand, or short episodes would count more often.
        rows = environment.num_environments
        self._share = np.array([episodes // rows + (row < episodes % rows) for row in range(rows)])
        self._seed = seed
        self.figures = self._figures()

    def _figures(self) -> tuple[str, ...]:
        """Returns the names of the figures, those of the trainer's score last.

        Raises:
            UsageError: two figures would have the same name.
        """
        scaled = self._actor.policy.perception.environment_spec.reference_returns is not None
        own = (*FIGURES, *([CUT_OFF] if self._limit else []), *(["normalized_score"] if scaled else []))
        score = self._new_score()
        if score is None:
            return own
        if both := sorted({*score.figures(), *score.tables()} & set(own)):
            raise UsageError(f"The trainer's score has an entry {both[0]!r}, as evaluations have. Rename it in the score.")
        return (*own, *score.figures())

    @parts_guarded()
    def run(self, stream: str = "evaluation", stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Returns `episodes`, `return_mean`, `return_std`, `episode_length_mean` and the entries of the trainer's score.

        Where episodes were cut off, `episodes_cut_off` counts them.

        Args:
            stream: of randomness, from which the episodes start.
            stop: asked before each step.

        Raises:
            Interrupted: `stop` returned True.
        """
        # Evaluations draw the same numbers each time, wherever training stands.
        self._actor.steps.assign(0)
        score, steps, total = self._new_score(), 0, int(self._share.sum())
        counter = _Counter(self._actor, self._share, self._limit, score, self._record)
        with self.environment:
            observation, state = self._reset(stream)
            while counter.has_episodes_left:
                if stop():
                    raise Interrupted("The evaluation was interrupted.")
                if counter.waits:
                    observation, state = self._reset(f"{stream}, from step {steps}")
                    counter.begin_again()
                _, timestep, state = turn(counter, self._step, (), observation, state)
                observation, steps = timestep.observation, steps + 1
                self._show(len(counter.returns), total, steps)
        self._warn(counter.cut_off, total)
        result = counter.result()
        with keras_defaults():
            scored = score.result() if score is not None else {}
        return {**result, **self._normalized(result["return_mean"]), **scored}

    def _normalized(self, mean: float) -> dict[str, float]:
        """Returns the score of a mean return, 0 to 1 between the returns that whatever was learned from refers to."""
        references = self._actor.policy.perception.environment_spec.reference_returns
        if references is None:
            return {}
        low, high = references
        return {"normalized_score": (mean - low) / (high - low)}

    def _reset(self, stream: str) -> tuple[Nest, Nest]:
        """Returns the first observations of new episodes, and the model's state for them."""
        first = self._check.begin(self.environment.reset(seeds.host_seed(self._seed, stream)))
        self._check.turns = 0
        observation = self._actor.policy.perception.first(first.observation)
        return observation, self._actor.initial_state(self.environment.num_environments)

    def _step(self, nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        own = copied(action)  # the environment may change it
        return nothing, self._check.take(self.environment.step(own), action)

    def _warn(self, cut_off: int, total: int) -> None:
        """Warns of episodes that a limit cut off which nobody has set."""
        if cut_off and not self._limit_is_set:
            warnings.warn(
                f"{cut_off:,} of {total:,} episodes of the evaluation in {self.environment.spec.name!r} had not ended after "
                f"{self._limit:,} steps; they were cut off there and count as far as they got. Set "
                "evaluation.max_episode_steps to cut them off sooner or later.",
                RunWarning,
                stacklevel=3,
            )

    def close(self) -> None:
        """Releases the environment."""
        self.environment.close()


class _Counter(HostPolicyActor):
    """Acts, and counts each row's share of the episodes, from start to end.

    An environment has no way to begin a single episode, so a row whose episode was cut off waits for the others.

    Args:
        actor: acts.
        share: `[B]` int, episodes of each row.
        limit: steps after which an episode is cut off; None for none.
        score: takes in decisions and where they led, or None.
        record: see `Evaluator`.

    Attributes:
        returns: of the episodes counted so far.
        cut_off: how many of them didn't end by themselves.
    """

    def __init__(self, actor: PolicyActor, share: np.ndarray, limit: int | None, score: Score | None, record: Record) -> None:
        super().__init__(actor)
        self._record = record
        self.returns: list[float] = []
        self.cut_off = 0
        self._lengths: list[float] = []
        self._left, self._limit, self._score = share.copy(), limit, score
        self._waiting = np.zeros(len(share), np.bool_)
        self._statistics = EpisodeStatistics.start(len(share))

    @property
    def has_episodes_left(self) -> bool:
        """Whether there are episodes to come."""
        return bool(self._left.any())

    @property
    def waits(self) -> bool:
        """Whether no row gets any further before all episodes begin again."""
        return self._limit is not None and not self._counting().any()

    def _counting(self) -> np.ndarray:
        """Returns which rows `[B]` are in an episode that counts."""
        return (self._left > 0) & ~self._waiting

    def begin_again(self) -> None:
        """Takes in that all episodes begin again."""
        self._waiting[:] = False
        self._statistics = EpisodeStatistics.start(len(self._left))

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        counting = self._counting()
        if self._score is not None:
            _add(self._score, decision, timestep, timestep.acted & counting)

        # [B] the episodes that ended, or were cut off.
        statistics = self._statistics.reported().continued(timestep.reward, timestep.acted)
        ended = timestep.ended
        if self._limit is not None:
            overlong = counting & ~ended & (statistics.running_length >= self._limit)
            self._waiting |= overlong
            self.cut_off += int(np.count_nonzero(overlong))
            ended = ended | overlong
        self._statistics = statistics = statistics.closed(ended)

        # Only episodes of a row's share count.
        finished = ended & counting
        self._record(decision, timestep, timestep.acted & counting, finished)
        self.returns.extend(statistics.return_sum[finished].tolist())
        self._lengths.extend(statistics.length_sum[finished].tolist())
        self._left = self._left - finished

    def result(self) -> dict[str, Any]:
        """Returns the figures."""
        numbers = (len(self.returns), *map(float, (np.mean(self.returns), np.std(self.returns), np.mean(self._lengths))))
        figures = dict(zip(FIGURES, numbers, strict=True))
        return {**figures, **({CUT_OFF: self.cut_off} if self.cut_off else {})}


def _add(score: Score, decision: Decision, timestep: TimeStep, rows: np.ndarray) -> None:
    """Adds the decisions of the `rows` (`[B]` bool) that count."""
    step = Batch(**attrs.asdict(Step.between(decision, timestep), recurse=False))
    batch = tf.nest.map_structure(lambda leaf: np.asarray(leaf)[rows], step)
    with keras_defaults():
        score.add(decision.output.numpy()[rows], batch)


def _check_acting(spec: EnvironmentSpec) -> None:
    """Raises UsageError for an environment in which somebody else acts."""
    if spec.is_recorded:
        raise UsageError(
            f"Environment {spec.name!r} shows what somebody else did, whatever the agent does, so nothing can be evaluated "
            "there. Set evaluation.environment.name, and its settings, to the environment in which it was recorded."
        )


def _check_alike(ours: EnvironmentSpec, theirs: EnvironmentSpec) -> None:
    """Raises UsageError unless the second environment shows and accepts what the first does."""
    if ours.vocabulary != theirs.vocabulary:
        raise UsageError(
            f"The evaluation environment {theirs.name!r} has another vocabulary than the agent was trained with: "
            "its text has changed. Evaluate on the training text."
        )
    if not spaces_alike(ours.observation, theirs.observation) or not spaces_alike(ours.action, theirs.action):
        raise UsageError(
            f"The evaluation environment {theirs.name!r} shows a {describe(theirs.observation)} and takes a "
            f"{describe(theirs.action)}; expected a {describe(ours.observation)} and a {describe(ours.action)}, as in "
            f"{ours.name!r}. Set evaluation.environment accordingly."
        )
