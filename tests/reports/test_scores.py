"""Scores over seeds, against arithmetic by hand."""

import numpy as np
import pytest

from agentlab.reports.statistics import (
    bootstrap_interval,
    bootstrap_intervals,
    improvement,
    interquartile_mean,
    performance_profile,
)


@pytest.mark.parametrize(
    ("scores", "middle"),
    [([3.0], 3.0), ([0.0, 2.0, 100.0], 34.0), ([9.0, 1.0, 2.0, 100.0], 5.5), ([0.0, 1.0, 2.0, 6.0, 50.0], 3.0)],
)
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(scores, middle):
    assert interquartile_mean(scores) == middle


def test_the_interval_is_that_of_the_mean_where_the_runs_are_normal():
    scores = np.random.default_rng(1).normal(10.0, 2.0, 100)
    low, high = bootstrap_interval(scores)
    assert low < interquartile_mean(scores) < high
    assert 0.7 * 2 * 1.96 * 0.2 < high - low < 1.5 * 2 * 1.96 * 0.2  # the middle half of a normal sample varies a little more


def test_runs_that_agree_leave_no_interval():
    assert bootstrap_interval([500.0] * 5) == (500.0, 500.0)


@pytest.mark.parametrize(
    ("one", "other", "probability"),
    [([2.0, 3.0], [1.0], 1.0), ([1.0], [1.0], 0.5), ([1.0, 4.0], [2.0, 4.0], 0.375), ([0.0], [1.0, 2.0], 0.0)],
)
def test_improvement_is_the_share_of_pairs_that_are_better_ties_counting_half(one, other, probability):
    assert improvement(one, other) == probability


def test_intervals_are_those_of_resampled_runs():
    assert bootstrap_interval([7.0]) == (7.0, 7.0)
    low, high = bootstrap_interval(np.arange(20.0))
    assert low < interquartile_mean(np.arange(20.0)) < high

    # Of two runs, the four equally likely draws have the means 0, 1, 1 and 2: a quarter of all, below and above.
    assert bootstrap_interval([0.0, 2.0], confidence=0.4) == (1.0, 1.0)
    assert bootstrap_interval([0.0, 2.0], confidence=0.95) == (0.0, 2.0)
    lows, highs = bootstrap_intervals(np.array([[0.0, 7.0], [2.0, 7.0]]), confidence=0.95)
    assert (lows.tolist(), highs.tolist()) == ([0.0, 7.0], [2.0, 7.0])


def test_a_profile_is_the_fraction_above():
    np.testing.assert_array_equal(performance_profile([1.0, 2.0, 3.0, 4.0], np.array([0.0, 1.0, 3.5])), [1.0, 0.75, 0.25])
