"""Evaluation: whole episodes of the trained policy, in any Environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentlab import seeds
from agentlab.agent import Policy
from agentlab.environment import Environment
from agentlab.errors import UsageError
from agentlab.metrics import EpisodeStatistics
from agentlab.spec import Array, Discrete


class Evaluator:
    """Judges a policy over a number of whole episodes, the same ones every time.

    Every row plays its share of the episodes from start to end, so that short episodes are not counted more often than long
    ones.

    Args:
        environment: of B rows.
        policy: acts; its draws begin anew at each evaluation.
        episodes: how many.
        seed: the run's seed; episodes start from the stream "evaluation".

    Raises:
        UsageError: the environment does not show and accept what the policy's does.
    """

    def __init__(self, environment: Environment, policy: Policy, episodes: int, seed: int) -> None:
        ours, theirs = policy.spec, environment.spec
        if ours.observation.shape != theirs.observation.shape or not _is_like(ours.action, theirs.action):
            raise UsageError(
                f"The evaluation environment {theirs.name!r} shows a {theirs.observation} and takes a {theirs.action}; "
                f"expected a {ours.observation} and a {ours.action}, as in {ours.name!r}. Set evaluation.environment.id alike."
            )
        self._environment = environment
        self._policy = policy
        rows = environment.num_environments
        self._share = np.array([episodes // rows + (row < episodes % rows) for row in range(rows)])
        self._seed = seeds.host_seed(seed, "evaluation")

    def run(self) -> dict[str, Any]:
        """Returns `episodes`, `return_mean`, `return_std` and `episode_length_mean`."""
        self._policy.steps.assign(0)
        rows = self._environment.num_environments
        left, returns, lengths = self._share.copy(), [], []
        statistics = EpisodeStatistics.start(rows)
        timestep = self._environment.reset(self._seed)
        while left.any():
            timestep = self._environment.step(self._policy.act(timestep.observation))
            ended = timestep.terminated | timestep.truncated
            acted = 1.0 if isinstance(timestep.first, tuple) else 1.0 - timestep.first
            statistics = statistics.reported().after(timestep.reward, ended.astype(np.float32), acted)
            counted = ended & (left > 0)
            returns.extend(statistics.return_sum[counted].tolist())
            lengths.extend(statistics.length_sum[counted].tolist())
            left = left - counted
        return {
            "episodes": len(returns),
            "return_mean": float(np.mean(returns)),
            "return_std": float(np.std(returns)),
            "episode_length_mean": float(np.mean(lengths)),
        }

    def close(self) -> None:
        """Releases the environment."""
        self._environment.close()


def _is_like(ours: Array | Discrete, theirs: Array | Discrete) -> bool:
    """Whether actions of the one kind are actions of the other, whatever their dtypes."""
    if isinstance(ours, Discrete) and isinstance(theirs, Discrete):
        return (ours.num_values, ours.shape) == (theirs.num_values, theirs.shape)
    return isinstance(ours, Array) and isinstance(theirs, Array) and ours.shape == theirs.shape
