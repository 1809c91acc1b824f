"""Rollout: the last T steps of every environment, in order, as lists would hold them."""

import attrs
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab import errors, seeds
from agentlab.memory import Layout, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system import free_memory
from agentlab.tensors import execution
from agentlab_memories.rollout import Rollout
from making import make_layout, make_step, tensors

SPEC = EnvironmentSpec("numbers", {"at": Array((2,)), "of": Discrete(9)}, Discrete(1_000), target=Discrete(7, "int32"))
SEED = seeds.at(seeds.stream(0, "memory"), 0)
LENGTH, ROWS = 3, 2


def make(length=LENGTH, rows=ROWS, spec=SPEC):
    request = Request(length=length, order="all", keep=("output", "state"))
    output, state = tf.TensorSpec([4]), (tf.TensorSpec([2], tf.float64), tf.TensorSpec([], tf.int64))
    memory = Rollout()
    memory.build(Layout(spec, rows, request, output=output, state=state))
    return memory


def steps_of(numbers, ended, acted):
    """Returns steps of which every leaf tells the number."""
    numbers = np.asarray(numbers)
    single = np.float32(numbers)
    nest = {"at": np.stack([single, single + 0.25], axis=1), "of": numbers % 9}
    following = {"at": np.stack([single + 0.5, single + 0.75], axis=1), "of": (numbers + 1) % 9}
    return make_step(
        *(nest, numbers, single, np.float32(numbers % 2), following),
        ended=np.asarray(ended, bool),
        acted=np.asarray(acted, bool),
        target=np.int32(numbers % 7),
        output=np.stack([single + k for k in range(4)], axis=1),
        state=(np.stack([numbers, -numbers], axis=1).astype(np.float64), numbers),
    )


MEMORY = make()
SIGNATURE = tf.nest.map_structure(
    lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), (steps_of([0], [0], [0]), np.array([0]))
)
ADD = execution.Compiled(MEMORY.add, "graph", list(SIGNATURE))
FLAGS = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)


def add(calls, function):
    """Adds turns, so many in each call, of (ended, acted) for each row; returns the numbers, and both flags, by row."""
    numbers, ended, acted, count = [[] for _ in range(ROWS)], [[] for _ in range(ROWS)], [[] for _ in range(ROWS)], 0
    for turns in calls:
        flags = [pair for turn in turns for pair in zip(*turn, strict=True)]
        step = steps_of(range(count, count + len(flags)), *zip(*flags, strict=True))
        function(*tensors((step, np.arange(len(flags)) % ROWS)))
        for index, (end, act) in enumerate(flags):
            for columns, value in ((numbers, count + index), (ended, end), (acted, act)):
                columns[index % ROWS].append(value)
        count += len(flags)
    return np.array(numbers), np.array(ended), np.array(acted)


def check(batch, numbers, ended, acted):
    """Checks that a batch holds the steps of these numbers `[B, T]`."""
    expected = steps_of(numbers.ravel(), ended.ravel(), acted.ravel())
    for name, leaves in attrs.asdict(expected, recurse=False).items():
        got, expected_leaves = tf.nest.flatten(getattr(batch, name)), tf.nest.flatten(leaves)
        for one, other in zip(got, expected_leaves, strict=True):
            assert one.shape == (*numbers.shape, *other.shape[1:])
            np.testing.assert_array_equal(one.numpy().reshape(other.shape), other, name)
    assert batch.weight.shape == numbers.shape
    weights = acted * (acted.size / max(acted.sum(), 1))
    np.testing.assert_allclose(batch.weight, weights, rtol=1e-6)


@pytest.mark.slow
@given(st.lists(st.lists(st.tuples(FLAGS, FLAGS), min_size=1, max_size=5), min_size=1, max_size=5))
def test_what_is_handed_out_is_what_lists_would_hold(calls):
    for variable in MEMORY.variables().values():
        variable.assign(tf.zeros_like(variable))
    columns = add(calls, ADD)
    if columns[0].shape[1] >= LENGTH:
        check(MEMORY.sample(SEED), *(column[:, -LENGTH:] for column in columns))


CALLS = [  # turns of (ended, acted) by row: one, two on end, more than fit
    [([False, True], [True, True])],
    [([True, False], [True, False]), ([False, False], [False, True])],
    [([False, False], [True, True])] * 4,
    [([True, True], [True, True])],
]


@pytest.mark.slow
def test_every_execution_hands_out_the_same(compiled):
    memory = make()
    columns = add(CALLS, compiled(memory.add))
    check(compiled(memory.sample)(SEED), *(column[:, -LENGTH:] for column in columns))


def test_turn_by_turn_or_on_end():
    one, other = make(), make()
    add([[turn] for turns in CALLS for turn in turns], one.add)
    add([[turn for turns in CALLS for turn in turns]], other.add)
    tf.nest.map_structure(np.testing.assert_array_equal, one.sample(SEED), other.sample(SEED))


def test_an_abandoned_episode_ends_with_its_last_step(compiled):
    memory = make()
    add([[([False, False], [True, True])] * 4], memory.add)
    compiled(memory.cut)(tf.constant([1], tf.int64))
    assert memory.sample(SEED).ended.numpy().tolist() == [[False] * 3, [False, False, True]]


def test_what_it_stores_by_name():
    stored = {f"stored/{name}" for name in ("action", "reward", "discount", "ended", "acted", "target", "output")}
    nested = {f"stored/{name}/{entry}" for name in ("observation", "next_observation") for entry in ("at", "of")}
    assert make().variables().keys() == {"added", *stored, *nested, "stored/state/000", "stored/state/001"}


@pytest.mark.parametrize(
    ("request_fields", "wording"), [({}, "draws"), ({"num_steps": 3, "order": "all", "length": 5}, "steps of 3")], ids=str
)
def test_other_requests_are_refused(request_fields, wording):
    with pytest.raises(errors.UsageError) as failure:
        Rollout().build(make_layout(SPEC, **request_fields))
    assert str(failure.value) == (
        f"A rollout hands out everything since the last update, in steps of one; the trainer asks for {wording}. "
        "Set memory.name=replay."
    )


def test_what_does_not_fit_is_refused_before_it_is_allocated(monkeypatch):
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 10_000)
    spec = EnvironmentSpec("plain", Array((2,)), Discrete(3))  # 8 + 8 + 4 + 4 + 8 + 1 + 1 bytes a step
    with pytest.raises(errors.UsageError) as failure:
        Rollout().build(make_layout(spec, 100, length=1_000, order="all"))
    assert str(failure.value) == (
        "A rollout of 1,000 steps of 100 environments takes 3,400,000 bytes (0.0 GB); only 10,000 (0.0 GB) are free. "
        "Set a smaller num_environments."
    )
