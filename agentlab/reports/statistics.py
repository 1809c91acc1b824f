"""What scores over seeds come to (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice,
arXiv:2108.13264)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

RESAMPLES = 10_000

Scores: TypeAlias = Sequence[float] | np.ndarray


def interquartile_mean(scores: Scores) -> np.ndarray:
    """Returns the mean of the middle half along the last axis: a quarter of the scores, rounded down, left out at each end."""
    ordered = np.sort(scores, axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(-1)


def bootstrap_interval(scores: Scores, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the percentile interval of the interquartile mean over runs (Efron 1979).

    Args:
        scores: `[n]`, one of each run.
        confidence: 0 to 1.
    """
    low, high = bootstrap_intervals(np.asarray(scores, np.float64)[:, None], confidence)
    return float(low[0]), float(high[0])


def bootstrap_intervals(scores: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns the percentile intervals `[T]` and `[T]` of interquartile means over runs, at each of T steps.

    Args:
        scores: `[n, T]`, of which whole runs are resampled.
        confidence: 0 to 1.
    """
    draws = np.random.default_rng(0).choice(len(scores), (RESAMPLES, len(scores)))
    quantiles = [(1 - confidence) / 2, (1 + confidence) / 2]

    # [RESAMPLES] means of one step after the other: all at once would take gigabytes.
    intervals = [np.quantile(interquartile_mean(column[draws]), quantiles) for column in scores.T]
    low, high = np.array(intervals).reshape(-1, 2).T
    return low, high


def improvement(one: Scores, other: Scores) -> float:
    """Returns the probability that a run of `one` scores higher than a run of `other`, over all pairs; ties count half."""
    difference = np.subtract.outer(one, other)
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Returns the fraction of runs `[T]` that score more than each threshold `[T]`."""
    return np.mean(np.asarray(scores)[:, None] > thresholds, axis=0)


def summary(scores: Scores) -> str:
    """Returns the interquartile mean with its interval, as a line says it."""
    low, high = bootstrap_interval(scores)
    return f"interquartile mean {interquartile_mean(scores):.2f}, 95% bootstrap interval [{low:.2f}, {high:.2f}]"
