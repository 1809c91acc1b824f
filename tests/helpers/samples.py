"""Comparisons of samples with each other."""

import numpy as np

KOLMOGOROV = 2.47  # exceeded once in 10**5: 2 * exp(-2 * 2.47**2)


def distance(one, other):
    """Kolmogorov-Smirnov: the largest difference between the two samples' cumulative distributions."""
    one, other = np.sort(one), np.sort(other)
    places = np.concatenate([one, other])
    shares = [np.searchsorted(sample, places, side="right") / len(sample) for sample in (one, other)]
    return np.abs(shares[0] - shares[1]).max()


def limit(one, other):
    """Returns the distance that samples of the same distribution exceed once in 10**5."""
    return KOLMOGOROV * np.sqrt(1 / len(one) + 1 / len(other))
