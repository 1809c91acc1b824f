"""Shuffles by arithmetic: a permutation, the same bits however it is run, and one that looks random."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab.tensors import execution as executions
from agentlab.tensors.shuffle import rectangle, shuffled


def order(size, key=1, epoch=0):
    return shuffled(tf.range(size, dtype=tf.int64), size, tf.constant(key, tf.int64), tf.constant(epoch, tf.int64)).numpy()


@pytest.mark.slow
@given(size=st.integers(1, 700), key=st.integers(0, 2**62 - 1), epoch=st.integers(0, 2**40))
def test_every_index_has_a_place_of_its_own(size, key, epoch):
    assert sorted(order(size, key, epoch)) == list(range(size))


@given(st.integers(1, 3_000_000))
def test_the_rectangle_is_hardly_larger_than_the_range(size):
    height, width = rectangle(size)
    assert size <= height * width <= size + 2 * size**0.5 + 1


@pytest.mark.slow
def test_the_same_bits_by_every_execution():
    for size in (97, 360, 1_437):  # 97 and 1,437 are walked through cycles, 360 is a rectangle
        index, key, epoch = tf.range(size, dtype=tf.int64), tf.constant(2**61 + 5, tf.int64), tf.constant(7, tf.int64)
        places = [
            executions.compiled(lambda i, k, e, size=size: shuffled(i, size, k, e), mode)(index, key, epoch).numpy()
            for mode in ("eager", "graph", "xla")
        ]
        assert places[0].tobytes() == places[1].tobytes() == places[2].tobytes()


def test_keys_and_epochs_differ():
    orders = [order(1_000, key, epoch) for key in (0, 1, 2**33, 2**61) for epoch in (0, 1, 2, 100)]
    for number, one in enumerate(orders):
        for other in orders[:number]:
            assert (one == other).sum() < 12  # places in common are Poisson with mean 1


def test_places_are_uniform(assert_frequencies):
    size, epochs = 12, 3_000
    index = tf.repeat(tf.range(size, dtype=tf.int64), epochs)
    epoch = tf.tile(tf.range(epochs, dtype=tf.int64), [size])
    places = shuffled(index, size, tf.constant(5, tf.int64), epoch).numpy().reshape(size, epochs)
    for place in places:
        assert_frequencies(place, np.full(size, 1 / size))
    pairs = places[3] * size + places[4]  # neighbours' places: any two different ones
    chances = np.where(np.eye(size, dtype=bool), 0.0, 1 / (size * (size - 1))).ravel()
    assert_frequencies(pairs, chances)


def test_orders_are_not_correlated():
    size = 60_000
    one, other = order(size, 3, 0).astype(np.float64), order(size, 3, 1).astype(np.float64)
    limit = 5 / size**0.5
    assert abs(np.corrcoef(one, np.arange(size))[0, 1]) < limit
    assert abs(np.corrcoef(one, other)[0, 1]) < limit
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < limit
    rises = (np.diff(one) > 0).mean()
    assert abs(rises - 0.5) < limit
