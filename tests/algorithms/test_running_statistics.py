"""Running statistics are those of NumPy in float64 over everything at once, with the same bits in every execution."""

import functools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from agentlab.algorithms.running_statistics import RunningStatistics
from agentlab.algorithms.same_bits import product, square, sum_of_rows
from agentlab.tensors import execution as executions


def added(batches, execution="eager"):
    """Returns the statistics of batches of (values `[N, *shape]`, counts `[N]`)."""
    statistics = RunningStatistics(batches[0][0].shape[1:])
    add = executions.compiled(statistics.add, execution)
    for values, counts in batches:
        add(tf.constant(values), tf.constant(counts))
    return statistics


def state(statistics):
    return [variable.numpy() for variable in (statistics._count, statistics._mean, statistics._squares)]


def test_by_hand():
    """Of 1, 3 and 8 the mean is 4, and the squared deviations are 9, 1 and 16; a row that doesn't count is left out."""
    statistics = added([
        (np.array([[1.0], [3.0]], np.float32), np.array([True, True])),
        (np.array([[100.0], [8.0]], np.float32), np.array([False, True])),
    ])  # fmt: skip
    assert int(statistics.count) == 3
    assert statistics.mean.numpy() == [4.0]
    np.testing.assert_allclose(statistics.variance, [26.0 / 3.0], rtol=1e-15)


def test_of_nothing_the_mean_is_0_and_the_variance_1():
    statistics = added([(np.full([3, 2], 7.0), np.zeros(3, np.bool_))])
    assert state(statistics)[0] == 0
    np.testing.assert_array_equal(statistics.mean, [0.0, 0.0])
    np.testing.assert_array_equal(statistics.variance, [1.0, 1.0])


@functools.cache
def compiled_once():
    """Returns statistics of pairs, and their `add` as a graph: eagerly, hundreds of batches take seconds."""
    statistics = RunningStatistics((2,))
    return statistics, executions.compiled(statistics.add, "graph")


@pytest.mark.slow
@hypothesis.settings(max_examples=20)
@hypothesis.given(
    strategies.lists(strategies.tuples(strategies.integers(1, 9), strategies.floats(0.0, 1.0)), min_size=1, max_size=12),
    strategies.sampled_from([0.0, 1e-3, 1e3, -1e6]),
    strategies.sampled_from([1e-3, 1.0, 1e6]),
    strategies.integers(0, 2**31),
)
def test_random_batches_and_masks_against_numpy(sizes, mean, scale, seed):
    generator = np.random.default_rng(seed)
    batches = [(mean + scale * generator.normal(size=(size, 2)), generator.random(size) < share) for size, share in sizes]
    statistics, add = compiled_once()
    for variable in statistics._count, statistics._mean, statistics._squares:
        variable.assign(tf.zeros_like(variable))
    for batch in batches:
        add(*map(tf.constant, batch))
    values = np.concatenate([rows[counts] for rows, counts in batches])
    assert int(statistics.count) == len(values)
    if len(values):
        size = abs(mean) + scale
        np.testing.assert_allclose(statistics.mean, values.mean(axis=0), rtol=1e-13, atol=1e-13 * size)
        exact = np.mean((values.astype(np.longdouble) - values.astype(np.longdouble).mean(axis=0)) ** 2, axis=0)
        rounding = 1e-15 * size * scale  # of the mean, in float64
        np.testing.assert_allclose(statistics.variance, exact.astype(np.float64), rtol=1e-9, atol=rounding)


@pytest.mark.parametrize("other", ["graph", "xla"])
@pytest.mark.slow
def test_the_same_bits_in_every_execution(other):
    generator = np.random.default_rng(0)
    scale, mean = np.array([1.0, 1e4, 1e-6, 1e8]), np.array([0.0, 1e6, 1e-3, -1e9])
    batches = [(mean + scale * generator.normal(size=(7, 4)), generator.random(7) < 0.7) for _ in range(50)]
    for one, same in zip(state(added(batches)), state(added(batches, other)), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.slow
def test_nothing_is_lost_over_ten_million_rows():
    """Deviations of 1e-3 around a mean of 1,000: float32, or a mean of squares, would lose all of them."""
    generator = np.random.default_rng(0)
    statistics = RunningStatistics(())
    add = executions.compiled(statistics.add, "xla")
    rows = 100_000
    values = 1_000.0 + 1e-3 * generator.normal(size=rows)
    for turn in range(100):
        add(tf.constant(values + 1e-4 * (turn - 49.5)), tf.ones(rows, tf.bool))
    assert int(statistics.count) == 10_000_000
    np.testing.assert_allclose(statistics.mean, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(statistics.variance, values.var() + 1e-8 * (100**2 - 1) / 12, rtol=1e-9)


def test_one_row_among_ten_million_counts():
    statistics = added([(np.zeros([1, 1]), np.array([True]))])
    statistics._count.assign(10_000_000)
    statistics.add(tf.constant([[1.0]]), tf.constant([True]))
    np.testing.assert_allclose(statistics.mean, [1.0 / 10_000_001], rtol=1e-15)
    np.testing.assert_allclose(statistics.variance, [10_000_000 / 10_000_001**2], rtol=1e-14)


def test_numbers_whose_square_is_too_large_count_as_large():
    statistics = added([(np.array([[1e300], [0.0]]), np.array([True, True]))])
    assert np.isfinite(state(statistics)[2]).all()


@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_products_and_sums_have_the_same_bits(execution):
    generator = np.random.default_rng(0)
    left, right, rows = (tf.constant(generator.normal(size=(500, 7)) * 10.0 ** generator.integers(-9, 9, (500, 7)))
                         for _ in range(3))  # fmt: skip

    def compute():
        return product(left, right) + rows, square(left) + rows, sum_of_rows(rows)

    for one, other in zip(compute(), executions.compiled(compute, execution)(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(product(left, right), left * right, rtol=2.0**-50)
    np.testing.assert_allclose(square(left), left * left, rtol=2.0**-49)
    np.testing.assert_allclose(sum_of_rows(rows), np.sum(rows, axis=0), rtol=1e-10, atol=1e-4)
