"""Transitions of n steps: numbers worked by hand, and equal to a walk along each environment's own history."""

import attrs
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab import errors, seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors import execution
from agentlab.tensors.state import variables_of
from agentlab_memories.observations import Whole
from agentlab_memories.replay import UniformReplay
from agentlab_memories.ring import Ring
from making import make_layout, make_step, tensors

SPEC = EnvironmentSpec("numbers", Array((1,)), Discrete(1_000))
SEED = seeds.at(seeds.stream(0, "memory"), 0)


def make(capacity, rows, num_steps, discount=0.5):
    return Ring(make_layout(SPEC, rows, num_steps=num_steps, discount=discount), capacity, Whole)


def steps_from(number, reward, terminated, ended):
    """Returns steps that lead from observation `number` to `number + 0.5`, by the action `number`."""
    number = np.asarray(number, np.float32)
    discount = 1 - np.asarray(terminated, np.float32)
    arrays = (number[:, None], number.astype(np.int64), np.float32(reward), discount, number[:, None] + 0.5)
    return make_step(*arrays, ended=np.asarray(ended, bool))


def read(ring, slots):
    batch = ring.read(tf.constant(slots, tf.int64))
    leaves = (batch.observation[:, 0], batch.action, batch.reward, batch.discount, batch.next_observation[:, 0])
    return [leaf.numpy().tolist() for leaf in leaves]


# One environment, rewards 1, 2, 4, 8, 16, 32, n = 3, factor 0.5.
ENDS = {
    # an endless episode: 1 + 2/2 + 4/4; the last two are cut short by the present: 16 + 32/2; 32
    "none": ((), (), [3, 6, 12, 24, 32, 32], [0.25, 0.25, 0.25, 0.25, 0.5, 1], [2.5, 3.5, 4.5, 5.5, 5.5, 5.5]),
    # the task ends with the third: nothing counts beyond, and nothing is known of it
    "terminated": ((2,), (), [3, 4, 4, 24, 32, 32], [0, 0, 0, 0.25, 0.5, 1], [2.5, 2.5, 2.5, 5.5, 5.5, 5.5]),
    # cut off with the third: the value of where it was cut off counts, by as many steps as lie before it
    "truncated": ((), (2,), [3, 4, 4, 24, 32, 32], [0.25, 0.5, 1, 0.25, 0.5, 1], [2.5, 2.5, 2.5, 5.5, 5.5, 5.5]),
    # both at once: the task ended
    "both": ((2,), (2,), [3, 4, 4, 24, 32, 32], [0, 0, 0, 0.25, 0.5, 1], [2.5, 2.5, 2.5, 5.5, 5.5, 5.5]),
}


@pytest.mark.pairwise
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("at_once", [1, 2, 6])
@pytest.mark.quick("eager-*", "graph-*", "xla-2-*")
def test_three_steps_by_hand(compiled, ends, at_once):
    terminates, truncates, reward, discount, beyond = ends
    terminated = np.isin(np.arange(6), terminates)
    ended = terminated | np.isin(np.arange(6), truncates)
    ring = make(10, 1, 3)
    add = compiled(ring.add)
    whole = steps_from(np.arange(6), 2.0 ** np.arange(6), terminated, ended)
    for begin in range(0, 6, at_once):
        part = tf.nest.map_structure(lambda leaf, begin=begin: leaf[begin : begin + at_once], whole)
        add(tensors(part), tf.zeros([at_once], tf.int64))
    assert read(ring, range(6)) == [list(range(6)), list(range(6)), reward, discount, beyond]
    assert [int(bound) for bound in ring.bounds()] == [0, 4]  # of the last two, three steps are not known yet


def test_environments_do_not_mix_by_hand():
    """Two environments in turn; the second one's episode is cut off with its first step."""
    ring = make(10, 2, 2)
    for turn, (ended, rewards) in enumerate([((False, True), (1, 10)), ((False, False), (2, 20)), ((False, False), (4, 40))]):
        step = steps_from([2 * turn, 2 * turn + 1], rewards, (False, False), ended)
        ring.add(*tensors((step, np.arange(2))))
    rows = read(ring, range(6))
    assert rows[2] == [2, 10, 4, 40, 4, 40]
    assert rows[3] == [0.5, 1, 0.5, 0.5, 1, 1]
    assert rows[4] == [2.5, 1.5, 4.5, 5.5, 4.5, 5.5]
    assert [int(bound) for bound in ring.bounds()] == [0, 4]


@pytest.mark.parametrize("ended", [True, False])
def test_rows_that_were_only_being_reset_are_not_stored(compiled, ended):
    """Environment 1 is reset in the second turn, in a call with the turns before and after; or it merely pauses there."""
    ring = make(10, 2, 2)
    step = steps_from(range(6), [1, 10, 2, 99, 4, 40], [0] * 6, [False, ended, False, True, False, False])
    step = attrs.evolve(step, acted=np.array([True, True, True, False, True, True]))
    count = compiled(ring.add)(*tensors((step, np.arange(6) % 2)))
    assert (int(count), int(ring.added())) == (5, 5)
    rows = read(ring, range(5))
    assert rows[0] == [0, 1, 2, 4, 5]
    assert rows[2] == [2, 10 if ended else 30, 4, 4, 40]


@attrs.frozen
class Happened:
    """What one environment went through at one step."""

    number: int
    reward: float
    terminated: bool
    ended: bool


def walked(history, index, request):
    """Returns (reward, discount, next observation, is complete) of the n steps from `history[index]`, one environment's."""
    steps = [history[index]]
    while len(steps) < request.num_steps and not steps[-1].ended and index + len(steps) < len(history):
        steps.append(history[index + len(steps)])
    factors = [request.discount**k for k in range(len(steps))]
    reward = sum(factor * step.reward for factor, step in zip(factors, steps, strict=True))
    return (
        reward,
        factors[-1] * (not steps[-1].terminated),
        steps[-1].number + 0.5,
        len(steps) == request.num_steps or steps[-1].ended,
    )


CASES = {(rows, steps): make(40, rows, steps) for rows in (1, 3) for steps in (2, 5)}
SIGNATURE = tf.nest.map_structure(
    lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), (steps_from([0], [0], [0], [0]), np.array([0]))
)
ADD = {case: execution.Compiled(ring.add, "graph", list(SIGNATURE)) for case, ring in CASES.items()}
ENDINGS = ("terminated", "truncated", "both")
EVENTS = st.sampled_from(["goes on", "goes on", "goes on", *ENDINGS, "is being reset"])  # the last only after an end


@pytest.mark.parametrize("case", CASES, ids=str)
@given(data=st.data())
@pytest.mark.slow
def test_n_steps_are_those_of_a_walk(case, data):
    rows, ring = case[0], CASES[case]
    for name, variable in variables_of(ring).items():
        variable.assign(-tf.ones_like(variable) if name == "newest" else tf.zeros_like(variable))
    histories, where, number = [[] for _ in range(rows)], {}, 0
    for turns in data.draw(st.lists(st.integers(1, 12), max_size=8)):
        steps, acted, row = [], [], []
        for event, environment in [(data.draw(EVENTS), index % rows) for index in range(turns * rows)]:
            history = histories[environment]
            row.append(environment)
            acted.append(not (event == "is being reset" and history and history[-1].ended))
            if not acted[-1]:
                steps.append(Happened(-1, 99.0, False, True))
                continue
            step = Happened(number, float(number % 7), event in ("terminated", "both"), event in ENDINGS)
            where[number] = (environment, len(history))
            history.append(step)
            steps.append(step)
            number += 1
        columns = ([getattr(step, name) for step in steps] for name in ("number", "reward", "terminated", "ended"))
        happened = attrs.evolve(steps_from(*columns), acted=np.array(acted))
        ADD[case](*tensors((happened, np.array(row, np.int64))))
    present = range(max(number - ring.capacity, 0), number)
    returned = read(ring, [index % ring.capacity for index in present])
    expected = [walked(histories[where[index][0]], where[index][1], ring.request) for index in present]
    assert returned[0] == list(present)
    assert list(zip(*returned[2:], strict=True)) == [steps[:3] for steps in expected]
    begin, end = (int(bound) for bound in ring.bounds())
    assert begin == present.start
    if number > (ring.request.num_steps - 1) * rows:
        assert all(steps[3] for index, steps in zip(present, expected, strict=True) if index < end), "whole, or ended"


def test_only_whole_ones_are_drawn():
    memory = UniformReplay(100, 500)
    memory.build(make_layout(SPEC, 2, num_steps=3, discount=0.5))
    for turn in range(10):
        memory.add(*tensors((steps_from([turn, turn], [0, 0], [0, 0], [0, 0]), np.arange(2))))
    assert set(memory.sample(SEED).action.numpy()) == set(range(8))


def test_too_small_a_ring_is_refused():
    memory = UniformReplay(12)
    with pytest.raises(errors.UsageError) as failure:
        memory.build(make_layout(SPEC, 4, num_steps=3, discount=0.5))
    assert str(failure.value) == (
        "A replay of 12 transitions can't hold 3 steps of 4 environments each; expected a capacity greater than 12. "
        "Set memory.capacity so."
    )
    memory.build(make_layout(SPEC, 4))
