"""Randomness as a pure function of seed, stream and step: the same bits however it is run."""

import contextlib
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.tensors import execution as executions

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4)]
RANGES = [(0.0, 1.0), (-0.05, 0.05), (0.1, 0.7), (-3.0, 1e3)]
KEY = seeds.stream(0, "test")


def in_all_modes(function):
    """Returns what one call to `function(seed)`, a list of draws, answers by each execution."""
    seed = seeds.at(KEY, 3)
    return [[draw.numpy() for draw in executions.compiled(function, mode)(seed)] for mode in ("eager", "graph", "xla")]


def draw_shapes(seed):
    floats = [seeds.uniform(seed, shape, dtype=dtype) for shape in SHAPES for dtype in (tf.float32, tf.float64)]
    return floats + [seeds.integers(seed, shape, maximum) for shape in SHAPES for maximum in (1, 2, 1000, 2**40)]


@pytest.mark.slow
def test_draws_of_any_shape_are_the_same_bits_by_every_execution():
    eager, graph, xla = in_all_modes(draw_shapes)
    assert [draw.shape for draw in eager] == [shape for shape in SHAPES for _ in range(2)] + [
        shape for shape in SHAPES for _ in range(4)
    ]
    assert {draw.dtype.name for draw in eager} == {"float32", "float64", "int64"}
    for draws in zip(eager, graph, xla, strict=True):
        assert len({draw.tobytes() for draw in draws}) == 1


def test_the_bits_are_those_of_tensorflows_philox():
    seed = seeds.at(KEY, 2**40 + 3)
    bits = tf.random.stateless_uniform([9], seed, None, None, tf.uint32, alg="philox").numpy()
    np.testing.assert_array_equal(seeds.uniform(seed, [9]), (bits >> 8) * np.float32(2.0**-24))
    below = tf.random.stateless_uniform([9], seed, 0, 1000, tf.int64, alg="philox")
    np.testing.assert_array_equal(seeds.integers(seed, [9], 1000), below)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda dtype: dtype.name)
def test_draws_from_any_range_are_the_same_bits_by_every_execution(dtype):
    eager, graph, xla = in_all_modes(lambda seed: [seeds.uniform(seed, [1000, 3], *limits, dtype) for limits in RANGES])
    for draws in zip(eager, graph, xla, strict=True):
        assert draws[0].tobytes() == draws[1].tobytes()
        assert draws[0].tobytes() == draws[2].tobytes()  # a multiply-add that rounds once would differ


@pytest.mark.parametrize(("minimum", "maximum"), RANGES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda dtype: dtype.name)
def test_range_and_moments_of_uniform(minimum, maximum, dtype):
    number = 100_000
    drawn = seeds.uniform(seeds.at(KEY, 0), [number], minimum, maximum, dtype).numpy().astype(np.float64)
    width = maximum - minimum
    assert drawn.min() >= np.float32(minimum)
    assert drawn.max() < maximum
    assert drawn.mean() == pytest.approx((minimum + maximum) / 2, abs=5 * width / (12 * number) ** 0.5)
    assert drawn.var() == pytest.approx(width**2 / 12, rel=0.02)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / number**0.5


def test_float64_draws_have_more_bits_than_float32():
    drawn = seeds.uniform(seeds.at(KEY, 0), [100], dtype=tf.float64).numpy()
    assert (drawn != drawn.astype(np.float32)).mean() > 0.9


@pytest.mark.parametrize("maximum", [1, 2, 6, 10])
def test_integers_are_uniform(assert_frequencies, maximum):
    assert_frequencies(seeds.integers(seeds.at(KEY, 0), [60_000], maximum), [1 / maximum] * maximum)


def test_the_limit_of_integers_may_be_a_tensor():
    seed = seeds.at(KEY, 0)
    np.testing.assert_array_equal(seeds.integers(seed, [50], tf.constant(9, tf.int64)), seeds.integers(seed, [50], 9))


def test_a_draw_is_a_function_of_run_seed_stream_and_step():
    def draw(seed, name, step):
        return seeds.uniform(seeds.at(seeds.stream(seed, name), step), [10]).numpy().tobytes()

    places = [
        (0, "sampler", 0),
        (1, "sampler", 0),
        (0, "replay", 0),
        (0, "sampler", 1),
        (1, "replay", 0),
        (0, "sampler", 2**33),
    ]
    assert len({draw(*place) for place in places}) == len(places)
    assert [draw(*place) for place in places] == [draw(*place) for place in places]
    assert draw(0, "sampler", tf.constant(1, tf.int64)) == draw(0, "sampler", 1)


def test_streams_are_uncorrelated():
    draws = [
        seeds.uniform(seeds.at(seeds.stream(seed, name), step), [10_000]).numpy()
        for seed, name, step in [(0, "a", 0), (0, "a", 1), (0, "b", 0), (1, "a", 0)]
    ]
    correlations = np.corrcoef(draws) - np.eye(4)
    assert np.abs(correlations).max() < 0.05


def test_a_stream_is_the_same_in_every_process():
    assert seeds.stream(0, "sampler") == 8947162672327404457
    assert seeds.host_seed(0, "environment") == 208577478
    assert all(0 <= seeds.stream(seed, "sampler") < 2**63 for seed in (-1, 0, 1, 2**70))
    assert all(0 <= seeds.host_seed(seed, "sampler") < 2**31 for seed in (-1, 0, 1, 2**70))


def test_a_child_draws_something_else():
    parent = seeds.at(KEY, 5)
    family = [parent, seeds.child(parent, "action"), seeds.child(parent, "symbol"), seeds.child(seeds.at(KEY, 6), "action")]
    family.append(seeds.child(seeds.child(parent, "action"), "symbol"))
    assert len({seeds.uniform(seed, [8]).numpy().tobytes() for seed in family}) == len(family)


def make_weights(seed):
    with seeds.keras_initializers(seed):
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
    return layer.kernel.numpy().tobytes()


def test_initial_weights_are_a_function_of_the_seed():
    random.seed(1)
    first = make_weights(0)
    random.seed(2)
    assert make_weights(0) == first
    assert make_weights(1) != first


def test_keras_initializers_leave_the_global_random_state():
    random.seed(3)
    state = random.getstate()
    make_weights(0)
    assert random.getstate() == state
    with contextlib.suppress(KeyError), seeds.keras_initializers(0):
        random.random()
        raise KeyError
    assert random.getstate() == state
