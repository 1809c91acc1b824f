"""Evaluation: whole episodes of the trained policy, in any Environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import Environment
from agentlab.errors import Interrupted, UsageError
from agentlab.loop.policy import Policy
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.model import initial_state, restarted
from agentlab.spec import Array, Discrete
from agentlab.trainer import Score
from agentlab.types import Decision, TimeStep, Transition

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
        left, returns, lengths = self._share.copy(), [], []
        statistics, score = EpisodeStatistics.start(rows), self._new_score()
        timestep, recurrent = self._environment.reset(seeds.host_seed(self._seed, stream)), initial_state(model, rows)
        while left.any():
            if stop():
                raise Interrupted("The evaluation was interrupted.")
            decision = self._policy.respond(timestep.observation, recurrent)
            action = decision.action.numpy()
            timestep = self._environment.step(action)
            ended = timestep.terminated | timestep.truncated
            acted = np.ones(rows, np.bool_) if isinstance(timestep.first, tuple) else ~timestep.first
            if score is not None:
                _add(score, decision, action, timestep, acted & (left > 0))
            statistics = statistics.reported().after(timestep.reward, ended.astype(np.float32), acted.astype(np.float32))
            counted = ended & (left > 0)
            returns.extend(statistics.return_sum[counted].tolist())
            lengths.extend(statistics.length_sum[counted].tolist())
            left = left - counted
            recurrent = restarted(model, decision.recurrent, tf.constant(timestep.begun)) if recurrent != () else ()
        return {
            "episodes": len(returns),
            "return_mean": float(np.mean(returns)),
            "return_std": float(np.std(returns)),
            "episode_length_mean": float(np.mean(lengths)),
            **(score.result() if score is not None else {}),
        }

    def close(self) -> None:
        """Releases the environment."""
        self._environment.close()


def _add(score: Score, decision: Decision, action: np.ndarray, timestep: TimeStep, rows: np.ndarray) -> None:
    """Adds the decisions of those `rows` (`[B]` bool) that count."""
    transition = Transition.between(decision.observation, action, timestep)
    batch = tf.nest.map_structure(lambda leaf: np.asarray(leaf)[rows], transition)
    score.add(decision.output.numpy()[rows], batch)


def _is_like(ours: Array | Discrete, theirs: Array | Discrete) -> bool:
    """Whether actions of the one kind are actions of the other, whatever their dtypes."""
    if isinstance(ours, Discrete) and isinstance(theirs, Discrete):
        return (ours.num_values, ours.shape) == (theirs.num_values, theirs.shape)
    return isinstance(ours, Array) and isinstance(theirs, Array) and ours.shape == theirs.shape
