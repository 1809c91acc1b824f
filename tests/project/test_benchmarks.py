"""The arithmetic behind the published figures."""

import importlib.util

import numpy as np
import pytest

from paths import ROOT

FILE = ROOT / "benchmarks" / "over_seeds.py"


@pytest.fixture(scope="module")
def over_seeds():
    specification = importlib.util.spec_from_file_location("over_seeds", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("scores", "middle"),
    [([3.0], 3.0), ([0.0, 2.0, 100.0], 34.0), ([9.0, 1.0, 2.0, 100.0], 5.5), ([0.0, 1.0, 2.0, 6.0, 50.0], 3.0)],
)
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(over_seeds, scores, middle):
    assert over_seeds.interquartile_mean(scores) == middle


def test_the_interval_is_that_of_the_mean_where_the_runs_are_normal(over_seeds):
    scores = np.random.default_rng(1).normal(10.0, 2.0, 100)
    low, high = over_seeds.bootstrap_interval(scores)
    assert low < over_seeds.interquartile_mean(scores) < high
    assert 0.7 * 2 * 1.96 * 0.2 < high - low < 1.5 * 2 * 1.96 * 0.2  # the middle half of a normal sample varies a little more


def test_runs_that_agree_leave_no_interval(over_seeds):
    assert over_seeds.bootstrap_interval([500.0] * 5) == (500.0, 500.0)


@pytest.mark.parametrize(
    ("one", "other", "probability"),
    [([2.0, 3.0], [1.0], 1.0), ([1.0], [1.0], 0.5), ([1.0, 4.0], [2.0, 4.0], 0.375), ([0.0], [1.0, 2.0], 0.0)],
)
def test_improvement_is_the_share_of_pairs_that_are_better_ties_counting_half(over_seeds, one, other, probability):
    assert over_seeds.improvement(one, other) == probability
