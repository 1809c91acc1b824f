"""Evaluation: whole episodes of the trained policy, in any Environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import Environment
from agentlab.errors import Interrupted, UsageError
from agentlab.metrics import EpisodeStatistics
from agentlab.model import initial_state, restarted
from agentlab.policy import Policy
from agentlab.spec import Array, Discrete
from agentlab.timestep_checks import EnvironmentCheck
from agentlab.trainer import Score
from agentlab.types import Transition

NewScore = Callable[[], Score | None]


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

    Raises:
        UsageError: the environment does not show and accept what the policy's does.
    """

    def __init__(
        self, environment: Environment, policy: Policy, episodes: int, seed: int, new_score: NewScore = lambda: None
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
        self._environment = environment
        self._check = EnvironmentCheck(theirs, environment.num_environments)
        self._policy = policy
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
            Interrupted: `stop` answered True.
        """
        self._policy.steps.assign(0)
        rows, model = self._environment.num_environments, self._policy.model
        left, outcomes = self._share.copy(), np.zeros((self._share.sum(), 2))  # of each episode, its return and length
        statistics, score, count = EpisodeStatistics.start(rows), self._new_score(), 0
        timestep = self._check.begin(self._environment.reset(seeds.host_seed(self._seed, stream)))
        self._check.turns, recurrent = 0, initial_state(model, rows)
        while left.any():
            if stop():
                raise Interrupted("The evaluation was interrupted.")
            decision = self._policy.respond(timestep.observation, recurrent)
            action = decision.action.numpy()
            acted_on = None if score is None else (timestep.observation.copy(), action.copy())  # the environment has the others
            timestep = self._check.take(self._environment.step(action), action)
            ended = timestep.terminated | timestep.truncated
            acted = np.ones(rows, np.bool_) if isinstance(timestep.first, tuple) else ~timestep.first
            if score is not None and acted_on is not None:
                _add(score, decision.output.numpy(), Transition.between(*acted_on, timestep), acted & (left > 0))
            statistics = statistics.reported().after(timestep.reward, ended, acted)
            rows_counted = np.flatnonzero(ended & (left > 0))
            for row in rows_counted:
                outcomes[count] = statistics.return_sum[row], statistics.length_sum[row]
                count += 1
            left[rows_counted] -= 1
            recurrent = restarted(model, decision.recurrent, tf.constant(timestep.begun)) if recurrent != () else ()
        return {
            "episodes": count,
            "return_mean": float(np.mean(outcomes[:, 0])),
            "return_std": float(np.std(outcomes[:, 0])),
            "episode_length_mean": float(np.mean(outcomes[:, 1])),
            **(score.result() if score is not None else {}),
        }

    def close(self) -> None:
        """Releases the environment."""
        self._environment.close()


def _add(score: Score, output: np.ndarray, transition: Transition, rows: np.ndarray) -> None:
    """Adds the decisions of those `rows` (`[B]` bool) that count."""
    score.add(output[rows], tf.nest.map_structure(lambda leaf: np.asarray(leaf)[rows], transition))


def _is_like(ours: Array | Discrete, theirs: Array | Discrete) -> bool:
    """Whether actions of the one kind are actions of the other, whatever their dtypes."""
    if isinstance(ours, Discrete) and isinstance(theirs, Discrete):
        return (ours.num_values, ours.shape) == (theirs.num_values, theirs.shape)
    return isinstance(ours, Array) and isinstance(theirs, Array) and ours.shape == theirs.shape
