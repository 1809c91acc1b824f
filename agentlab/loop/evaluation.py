"""Evaluation: whole episodes of the trained policy, in any Environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import Environment
from agentlab.errors import Interrupted, UsageError
from agentlab.loop.acting import HostPolicyActor, PolicyActor
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.turn import turn
from agentlab.spec import describe, spaces_alike
from agentlab.trainer import Score
from agentlab.types import Batch, Decision, Nest, Step, TimeStep

NewScore = Callable[[], Score | None]


class Evaluator:
    """Evaluates a policy over a number of whole episodes, the same ones every time for the same stream.

    Every row plays its share of the episodes from start to end, so that short episodes are not counted more often than long
    ones.

    Args:
        environment: of B rows.
        actor: acts; its draws start again at each evaluation.
        episodes: how many.
        seed: the run's seed.
        new_score: makes what the trainer adds to the report, if anything; called at each evaluation.

    Raises:
        UsageError: the environment does not show and accept what the policy's does.
    """

    def __init__(
        self, environment: Environment, actor: PolicyActor, episodes: int, seed: int, new_score: NewScore = lambda: None
    ) -> None:
        _check_alike(actor.policy.spec, environment.spec)
        self._environment = environment
        self._actor = actor
        self._new_score = new_score
        rows = environment.num_environments
        self._share = np.array([episodes // rows + (row < episodes % rows) for row in range(rows)])
        self._seed = seed

    def run(self, stream: str = "evaluation", stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Returns `episodes`, `return_mean`, `return_std`, `episode_length_mean` and the entries of the trainer's score.

        Args:
            stream: of randomness, from which the episodes start.
            stop: asked before each step.

        Raises:
            Interrupted: `stop` returned True.
        """
        self._actor.steps.assign(0)
        counter = _Counter(self._actor, self._share, self._new_score())
        observation = self._environment.reset(seeds.host_seed(self._seed, stream)).observation
        state = self._actor.initial_state(self._environment.num_environments)
        while counter.left.any():
            if stop():
                raise Interrupted("The evaluation was interrupted.")
            _, timestep, state = turn(counter, self._step, (), observation, state)
            observation = timestep.observation
        return counter.result()

    def _step(self, nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        return nothing, self._environment.step(action)

    def close(self) -> None:
        """Releases the environment."""
        self._environment.close()


class _Counter(HostPolicyActor):
    """Acts, and counts the episodes of each row up to its share.

    Args:
        actor: acts.
        share: `[B]` int, episodes of each row.
        score: takes in decisions and where they led, or None.
    """

    def __init__(self, actor: PolicyActor, share: np.ndarray, score: Score | None) -> None:
        super().__init__(actor)
        self.left = share.copy()
        self._score = score
        self._statistics = EpisodeStatistics.start(len(share))
        self._returns: list[float] = []
        self._lengths: list[float] = []

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        counts = self.left > 0
        if self._score is not None:
            _add(self._score, decision, timestep, timestep.acted & counts)
        ended = timestep.ended
        self._statistics = self._statistics.reported().after(timestep.reward, ended.astype(np.float32), timestep.acted)
        finished = ended & counts
        self._returns.extend(self._statistics.return_sum[finished].tolist())
        self._lengths.extend(self._statistics.length_sum[finished].tolist())
        self.left = self.left - finished

    def result(self) -> dict[str, Any]:
        """Returns the entries of the report."""
        return {
            "episodes": len(self._returns),
            "return_mean": float(np.mean(self._returns)),
            "return_std": float(np.std(self._returns)),
            "episode_length_mean": float(np.mean(self._lengths)),
            **(self._score.result() if self._score is not None else {}),
        }


def _add(score: Score, decision: Decision, timestep: TimeStep, rows: np.ndarray) -> None:
    """Adds the decisions of the `rows` (`[B]` bool) that count."""
    step = Batch(**attrs.asdict(Step.between(decision, timestep), recurse=False))
    batch = tf.nest.map_structure(lambda leaf: np.asarray(leaf)[rows], step)
    score.add(decision.output.numpy()[rows], batch)


def _check_alike(ours: Any, theirs: Any) -> None:
    """Raises UsageError unless the second environment shows and accepts what the first does."""
    if ours.vocabulary != theirs.vocabulary:
        raise UsageError(
            f"The evaluation environment {theirs.name!r} has another vocabulary than the agent was trained with: "
            "its text has changed. Evaluate on the text of the training."
        )
    if not spaces_alike(ours.observation, theirs.observation) or not spaces_alike(ours.action, theirs.action):
        raise UsageError(
            f"The evaluation environment {theirs.name!r} shows a {describe(theirs.observation)} and takes a "
            f"{describe(theirs.action)}; expected a {describe(ours.observation)} and a {describe(ours.action)}, as in "
            f"{ours.name!r}. Set evaluation.environment alike."
        )
