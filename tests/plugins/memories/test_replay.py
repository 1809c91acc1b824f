"""Uniform replay: what it keeps is what a plain deque would keep; what it draws is uniform and a function of the seed."""

from collections import deque

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab import seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors import execution
from agentlab.types import Step
from agentlab_memories.replay import UniformReplay
from making import make_layout, make_step, tensors

SPECS = {
    "float32": EnvironmentSpec("vector", Array((2,)), Discrete(3)),
    "uint8": EnvironmentSpec("image", Array((2, 2), "uint8"), Discrete(3)),
    "target": EnvironmentSpec("labelled", Array((), "int64"), Array((2,), "float64"), target=Discrete(5, "int32")),
}
LEAVES = ("observation", "action", "reward", "discount", "next_observation", "target")
CAPACITIES = (1, 2, 5)
KEY = seeds.stream(0, "memory")


def make(spec, capacity, batch_size=4):
    memory = UniformReplay(capacity, batch_size)
    memory.build(make_layout(spec))
    return memory


def put(memory, steps):
    """Adds steps of one environment that goes on and on."""
    memory.add(tensors(steps), tf.zeros(tf.shape(steps.reward), tf.int64))


def steps_of(spec, begin, count):
    """Returns steps numbered from `begin`, each leaf telling its step's number."""
    numbers = np.arange(begin, begin + count)

    def leaf(like, offset):
        values = (numbers + offset).reshape(-1, *([1] * len(like.shape)))
        return np.broadcast_to(values, (count, *like.shape)).astype(like.dtype)

    return make_step(
        leaf(spec.observation, 0),
        leaf(spec.action, 10),
        leaf(Array(()), 20),
        leaf(Array(()), 30),
        leaf(spec.observation, 40),
        target=() if spec.target is None else leaf(spec.target, 50),
    )


def signature(spec):
    return tf.nest.map_structure(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), steps_of(spec, 0, 1))


def rows(step):
    """Returns steps as a list of tuples of plain values, and checks that all leaves have as many."""
    leaves = [np.asarray(getattr(step, name)).tolist() for name in LEAVES if not isinstance(getattr(step, name), tuple)]
    return list(zip(*leaves, strict=True))


def held(memory):
    """Returns the memory's variables by the names of the leaves that they hold."""
    return {name.rpartition("/")[2]: variable for name, variable in memory.variables().items()}


def stored(memory):
    return rows(Step(**{name: held(memory).get(name, ()) for name in LEAVES}, ended=(), acted=()))


def in_ring(items, added, capacity):
    """Returns a deque's items in the order of slots: number n lies in slot n modulo capacity."""
    slots = {number % capacity: item for number, item in zip(range(added - len(items), added), items, strict=True)}
    return [slots[slot] for slot in range(len(items))]


@pytest.fixture(scope="module", params=[(name, capacity) for name in SPECS for capacity in CAPACITIES], ids=str)
def graph_memory(request):
    name, capacity = request.param
    memory = make(SPECS[name], capacity)
    return SPECS[name], memory, execution.Compiled(lambda batch: put(memory, batch), "graph", [signature(SPECS[name])])


@given(counts=st.lists(st.integers(0, 13), max_size=12))
@pytest.mark.slow
def test_contents_are_those_of_a_deque(graph_memory, counts):
    spec, memory, add = graph_memory
    for variable in memory.variables().values():
        variable.assign(tf.zeros_like(variable))
    items, added = deque(maxlen=memory.capacity), 0
    for count in counts:
        batch = steps_of(spec, added, count)
        add(tf.nest.map_structure(tf.constant, batch))
        items.extend(rows(batch))
        added += count
        assert stored(memory)[: len(items)] == in_ring(items, added, memory.capacity)
    assert memory.variables()["ring/added"].numpy() == added


@pytest.mark.slow
def test_contents_by_every_execution(compiled):
    spec, items, added = SPECS["target"], deque(maxlen=5), 0
    memory = make(spec, 5)
    add = compiled(lambda batch: put(memory, batch))
    for count in (3, 3, 8, 3, 8, 8):
        batch = steps_of(spec, added, count)
        add(tf.nest.map_structure(tf.constant, batch))
        items.extend(rows(batch))
        added += count
        assert stored(memory)[: len(items)] == in_ring(items, added, 5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_leaves_keep_their_dtypes_and_shapes(spec):
    memory = make(spec, 6, batch_size=3)
    put(memory, steps_of(spec, 0, 4))
    batch = memory.sample(seeds.at(KEY, 0))
    assert batch.observation.dtype == batch.next_observation.dtype == spec.observation.dtype
    assert batch.observation.shape == (3, *spec.observation.shape)
    assert batch.action.dtype == spec.action.dtype
    assert batch.action.shape == (3, *spec.action.shape)
    assert batch.reward.dtype == batch.discount.dtype == tf.float32
    if spec.target is None:
        assert batch.target == ()
    else:
        assert batch.target.dtype == spec.target.dtype
    assert ("ring/stored/target" in memory.variables()) == (spec.target is not None)


def test_uint8_observations_take_one_byte_each():
    memory = make(SPECS["uint8"], 3)
    batch = steps_of(SPECS["uint8"], 253, 3)  # whose next observations wrap around
    put(memory, batch)
    assert stored(memory) == rows(batch)
    assert memory.variables()["ring/observations/observation"].dtype == tf.uint8


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("added", [1, 4, 10, 14])
def test_only_stored_transitions_are_drawn_whole(spec, added):
    memory = make(spec, 10, batch_size=200)
    batch = steps_of(spec, 1, added)
    put(memory, batch)
    assert set(map(str, rows(memory.sample(seeds.at(KEY, 0))))) == set(map(str, rows(batch)[-10:]))


@pytest.mark.parametrize("added", [4, 10, 17])
def test_draws_are_uniform(assert_frequencies, added):
    memory = make(SPECS["float32"], 10, batch_size=1000)
    put(memory, steps_of(SPECS["float32"], 0, added))
    drawn = np.concatenate([memory.sample(seeds.at(KEY, step)).action for step in range(20)]) - 10
    number = min(added, 10)
    assert drawn.min() == added - number
    assert_frequencies(drawn - drawn.min(), [1 / number] * number)


def test_a_batch_is_a_function_of_the_seed(compiled):
    memory = make(SPECS["float32"], 100, batch_size=32)
    put(memory, steps_of(SPECS["float32"], 0, 80))
    sample = compiled(memory.sample)
    first, same, next_step, other_run = (
        rows(sample(seeds.at(key, step))) for key, step in [(KEY, 0), (KEY, 0), (KEY, 1), (seeds.stream(1, "memory"), 0)]
    )
    assert first == same == rows(memory.sample(seeds.at(KEY, 0)))
    assert first != next_step
    assert first != other_run


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"batch_size": 0}, {"capacity": -1}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="must be > 0"):
        UniformReplay(**wrong)
