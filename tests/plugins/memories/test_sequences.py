"""Sequences from a ring by hand: each environment's own steps, states before them, burn-in and padding that weigh nothing."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

from agentlab.memory import Layout, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_memories.observations import Whole
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_memories.ring import Ring
from making import make_step, tensors

SPEC = EnvironmentSpec("line", Array((1,)), Discrete(2))
ROWS, TURNS = 2, 5


def layout(**request):
    state = tf.TensorSpec([1], tf.float32)
    return Layout(SPEC, ROWS, Request(length=4, keep=("state",), **request), state=state)


def steps():
    """Five turns of two environments, in order; the first one's episode is cut off with its third step, number 4."""
    numbers = np.arange(TURNS * ROWS, dtype=np.float32)
    step = make_step(numbers[:, None], np.zeros(len(numbers), np.int64), numbers, np.ones_like(numbers), numbers[:, None] + 2)
    return tensors((attrs.evolve(step, ended=numbers == 4, state=numbers[:, None] + 100), np.arange(len(numbers)) % ROWS))


@pytest.fixture
def ring(compiled):
    ring = Ring(layout(burn_in=2), 12, Whole)
    compiled(ring.add)(*steps())
    return ring


def test_sequences_are_of_one_environment(ring, compiled):
    batch = compiled(ring.read)(tf.constant([0, 3], tf.int64))
    assert batch.observation[..., 0].numpy().tolist() == [[0, 2, 4, 6], [3, 5, 7, 9]]
    assert batch.next_observation[..., 0].numpy().tolist() == [[2, 4, 6, 8], [5, 7, 9, 11]]
    assert batch.state[..., 0].numpy().tolist() == [[100, 102, 104, 106], [103, 105, 107, 109]]
    assert batch.ended.numpy().tolist() == [[False, False, True, False], [False] * 4]
    assert batch.weight.numpy().tolist() == [[0, 0, 2, 2]] * 2  # the burn-in is there, and is not learned from


def test_the_newest_step_pads_what_is_too_short(ring):
    batch = ring.read(tf.constant([0, 6], tf.int64))
    assert batch.observation[1, :, 0].numpy().tolist() == [6, 8, 8, 8]
    assert batch.acted.numpy().tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.weight.numpy().tolist() == [[0, 0, 4, 4], [0, 0, 0, 0]]


def test_sequences_with_large_errors_are_drawn_more_often():
    """Only whole sequences are drawn, which begin in the first two turns: slots 0 to 3; slot 2 gets nearly all priority."""
    memory = PrioritizedReplay(capacity=12, batch_size=8, priority_exponent=1.0, weight_exponent=1.0)
    memory.build(layout(priority=True))
    memory.add(*steps())
    batch = memory.sample(tf.constant([0, 1], tf.int64))
    assert set(batch.place.numpy().tolist()) == {0, 1, 2, 3}
    memory.update_priorities(tf.constant([0, 1, 2, 3], tf.int64), tf.constant([1.0, 1.0, 14.0, 0.0]))
    batch = memory.sample(tf.constant([0, 1], tf.int64))
    assert batch.place.numpy().tolist().count(2) == 7
    rare = batch.place.numpy() != 2
    np.testing.assert_allclose(batch.weight.numpy()[rare], 1.0)
    np.testing.assert_allclose(batch.weight.numpy()[~rare], 1 / 14, rtol=1e-5)


@pytest.mark.slow
def test_what_there_is_to_compile_does_not_grow_with_the_length():
    def size(length):
        memory = UniformReplay(capacity=500, batch_size=3)
        memory.build(attrs.evolve(layout(), request=Request(length=length)))
        return len(tf.function(memory.sample).get_concrete_function(tf.constant([0, 1], tf.int64)).graph.as_graph_def().node)

    assert size(100) == size(10)
