"""What returns over seeds come to (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice,
arXiv:2108.13264)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def interquartile_mean(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the mean of the middle half along the last axis: a quarter of the scores, rounded down, left out at each end."""
    ordered = np.sort(scores, axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(-1)


def bootstrap_interval(scores: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Returns the percentile interval of the interquartile mean over runs (Efron 1979)."""
    draws = np.random.default_rng(0).choice(np.asarray(scores), (RESAMPLES, len(scores)))
    low, high = np.quantile(interquartile_mean(draws), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def improvement(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the probability that a run of `one` scores higher than a run of `other`, over all pairs; ties count half."""
    difference = np.subtract.outer(one, other)
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def summary(scores: Sequence[float]) -> str:
    """Returns the interquartile mean with its interval, as a line says it."""
    low, high = bootstrap_interval(scores)
    return f"interquartile mean {interquartile_mean(scores):.2f}, 95% bootstrap interval [{low:.2f}, {high:.2f}]"
