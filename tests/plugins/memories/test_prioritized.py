"""Prioritised replay: the tree's sums, what is drawn how often, and the weights that make up for it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import agentlab
from agentlab import errors, seeds
from agentlab.loop.agent import Agent, Parts
from agentlab.memory import Request
from agentlab.runs.composition import build_part
from agentlab.sampler import Greedy
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import part
from agentlab.tensors import execution
from agentlab.tensors.state import variables_of
from agentlab.trainer import Loss, Trainer
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.sum_tree import FANOUT, SumTree
from making import make_layout, make_step, tensors

SPEC = EnvironmentSpec("numbers", Array((1,)), Discrete(1_000))
KEY = seeds.stream(0, "memory")
SIZES = (1, FANOUT + 1, FANOUT**3, FANOUT**3 + 1, FANOUT**4 + 1)


def eighths(*values):
    return tf.constant(values, tf.float64) / 8.0


def weights(*values):
    return tf.constant(values, tf.float32)


def entries(*values):
    return tf.constant(values, tf.int64)


# ---- the tree ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, FANOUT**3 + 1])
@pytest.mark.slow
def test_a_tree_by_hand(compiled, size):
    tree = SumTree(size)
    put, search = compiled(tree.put), compiled(tree.find)

    def find(*values):
        return [slots.numpy().tolist() for slots in search(eighths(*values))]

    put(entries(3, 0, 1), weights(5.0, 1.0, 2.0))  # stretches 0 to 1, 1 to 3, and 3 to 8; entry 2 has none
    assert find(0.0, 0.99, 1.0, 2.99, 3.0, 7.99) == [[0, 0, 1, 1, 3, 3], [1, 1, 2, 2, 5, 5]]
    put(entries(3, 1, 1), weights(2.5, 0.5, 0.5))
    assert find(1.98, 2.0, 2.98, 3.0) == [[0, 1, 1, 3], [1, 0.5, 0.5, 2.5]]


TREES = {size: SumTree(size) for size in SIZES}
PUT = {
    size: execution.Compiled(tree.put, "graph", [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None])])
    for size, tree in TREES.items()
}


@pytest.mark.parametrize("size", SIZES)
@given(data=st.data())
@pytest.mark.slow
def test_a_tree_is_a_list_of_weights(size, data):
    tree, reference = TREES[size], np.zeros(size)
    for variable in variables_of(tree).values():
        variable.assign(tf.zeros_like(variable))
    for _ in range(data.draw(st.integers(1, 4))):
        changed = data.draw(st.dictionaries(st.integers(0, size - 1), st.integers(0, 9), min_size=1, max_size=20))
        PUT[size](entries(*changed), weights(*changed.values()))
        reference[list(changed)] = list(changed.values())
    ends = np.cumsum(reference)
    if ends[-1]:
        inside = np.arange(0.25, ends[-1], 0.5)
        expected = np.searchsorted(ends, inside, side="right")
        slots, found_weights = tree.find(tf.constant(inside / ends[-1]))
        np.testing.assert_array_equal(slots, expected)
        np.testing.assert_array_equal(found_weights, reference[expected])


def test_rounding_never_finds_what_has_no_weight():
    """Weights that can't be added up exactly, points at and beyond the ends of their stretches."""
    generator = np.random.default_rng(0)
    weights = generator.uniform(0, 1, 5_000).astype(np.float32) ** 20 * (generator.uniform(size=5_000) < 0.01)
    tree = SumTree(5_000)
    tree.put(tf.range(5_000, dtype=tf.int64), tf.constant(weights))
    ends = np.cumsum(weights, dtype=np.float64)
    tried = np.concatenate([np.linspace(0, 1 + 1e-5, 50_000), ends / ends[-1]])
    slots = tree.find(tf.constant(tried))[0].numpy()
    assert (weights[slots] > 0).all()


@pytest.mark.slow
def test_among_a_million_each_has_its_share(compiled):
    """Of a hundred neighbours, as long a stretch of points as their weight; float32 could not tell such points apart."""
    weights = np.random.default_rng(0).uniform(0.1, 1, 1_000_000).astype(np.float32)
    tree = SumTree(len(weights))
    tree.put(tf.range(len(weights), dtype=tf.int64), tf.constant(weights))
    ends, first, spacing = np.cumsum(weights, dtype=np.float64), 900_000, 0.002
    tried = np.arange(ends[first], ends[first + 101], spacing) / ends[-1]
    slots = compiled(tree.find)(tf.constant(tried))[0].numpy()
    lengths = np.bincount(slots - first)[2:100] * spacing
    np.testing.assert_allclose(lengths, weights[first + 2 : first + 100], atol=1.01 * spacing)


# ---- the memory --------------------------------------------------------------------------------------------------------


THREE_STEPS = {"num_steps": 3, "discount": 0.5}


def make(request=None, rows=1, **settings):
    memory = PrioritizedReplay(
        **{"capacity": 8, "batch_size": 4, "smallest_error": 0.0625, "priority_exponent": 1.0, **settings}
    )
    memory.build(make_layout(SPEC, rows, priority=True, **(request or {})))
    return memory


def put(memory, numbers, **leaves):
    """Adds steps by number, of one environment."""
    number = np.asarray(numbers, np.float32)
    step = make_step(number[:, None], number.astype(np.int64), number, np.ones_like(number), number[:, None], **leaves)
    memory.add(*tensors((step, np.zeros(len(number), np.int64))))


def priorities(memory):
    return memory.variables()["tree/levels/000"].numpy().ravel()[: memory.capacity].tolist()


def learn(memory, slots, error):
    """Tells the memory of the errors `[N]` in those slots, as after an update."""
    memory.update_priorities(tf.convert_to_tensor(slots, tf.int64), tf.convert_to_tensor(error, tf.float32))


def test_priorities_by_hand(compiled):
    memory = make(priority_exponent=0.5)
    put(memory, [0, 1, 2])
    assert priorities(memory) == [1, 1, 1, 0, 0, 0, 0, 0]  # nothing is known yet: the largest so far is 1
    compiled(lambda slots, error: learn(memory, slots, error))(entries(0, 2), weights(3.9375, 0.0))
    assert priorities(memory) == [2, 1, 0.25, 0, 0, 0, 0, 0]  # (3.9375 + 1/16) ** 0.5, and (0 + 1/16) ** 0.5
    put(memory, [3])
    assert priorities(memory) == [2, 1, 0.25, 2, 0, 0, 0, 0]  # what is new counts as the largest so far
    compiled(lambda slots, error: learn(memory, slots, error))(entries(0), weights(0.1875))
    put(memory, range(4, 9))
    assert priorities(memory) == [2, 1, 0.25, 2, 2, 2, 2, 2]  # slot 0 holds another transition now


def test_of_one_drawn_twice_the_larger_error_counts(compiled):
    memory = make()
    put(memory, [0, 1])
    compiled(lambda slots, error: learn(memory, slots, error))(entries(1, 0, 1, 0), weights(1.9375, 0.9375, 5.9375, 0.1875))
    assert priorities(memory)[:2] == [1, 6]


@pytest.mark.slow
def test_a_batch_by_hand(compiled):
    """Priorities 1, 4, 3: the stretches of a batch of 4, each 2 long, hold 0 and 1; 1; 1 and 2; 2."""
    memory = make(weight_exponent=0.5)
    put(memory, [0, 1, 2])
    learn(memory, [0, 1, 2], [0.9375, 3.9375, 2.9375])
    sample = compiled(memory.sample)
    seen = [set() for _ in range(4)]
    for step in range(40):
        batch = sample(seeds.at(KEY, step))
        drawn = batch.place.numpy()
        np.testing.assert_array_equal(batch.action, drawn)
        weight = np.array([1.0, 4.0, 3.0])[drawn] ** -0.5
        np.testing.assert_allclose(batch.weight, weight / weight.max(), rtol=1e-6)
        for stretch, slot in zip(seen, drawn.tolist(), strict=True):
            stretch.add(slot)
    assert seen == [{0, 1}, {1}, {1, 2}, {2}]


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_draws_are_as_frequent_as_priorities_say(exponent, assert_frequencies):
    memory = make(priority_exponent=exponent, batch_size=1, smallest_error=1e-9)
    put(memory, range(8))
    error = np.float32([1, 4, 9, 16, 0.25, 1, 1, 4])
    learn(memory, range(8), error)
    draw = execution.compiled(lambda steps: tf.map_fn(lambda step: memory.sample(seeds.at(KEY, step)).place[0], steps), "graph")
    drawn = draw(tf.range(3_000, dtype=tf.int64))
    assert_frequencies(drawn, error**exponent / (error**exponent).sum())


def test_weights_make_up_for_what_is_drawn_less_often():
    """With an exponent of 1 the weighted mean over many draws is the mean over the transitions, but for the scale."""
    memory = make(weight_exponent=1.0, batch_size=8_000)
    put(memory, range(8))
    learn(memory, range(8), [1, 4, 9, 16, 0.25, 1, 1, 4])
    batch = memory.sample(seeds.at(KEY, 0))
    mean = np.average(batch.reward.numpy(), weights=batch.weight.numpy())
    assert mean == pytest.approx(3.5, abs=0.1)
    assert np.average(batch.reward.numpy()) != pytest.approx(3.5, abs=0.1)


def test_the_weights_exponent_counts_batches(compiled):
    memory = make(weight_exponent=Linear(0.0, 1.0, 2))
    put(memory, [0, 1])
    learn(memory, [0, 1], [0.9375, 3.9375])
    sample = compiled(memory.sample)
    batches = [sample(seeds.at(KEY, step)) for step in range(4)]
    for batch, exponent in zip(batches, [0.0, 0.5, 1.0, 1.0], strict=True):
        expected = np.array([1.0, 4.0])[batch.place.numpy()] ** -exponent
        np.testing.assert_allclose(batch.weight, expected / expected.max(), rtol=1e-6)


@pytest.mark.slow
def test_of_several_steps_only_whole_ones_have_a_priority(compiled):
    memory = make(THREE_STEPS, rows=1, capacity=8)
    add = compiled(lambda numbers: put_tensors(memory, numbers))
    for count, expected in [
        (1, [0, 0, 0, 0, 0, 0, 0, 0]),
        (2, [1, 0, 0, 0, 0, 0, 0, 0]),
        (5, [1, 1, 1, 1, 1, 1, 0, 0]),
        (1, [0, 1, 1, 1, 1, 1, 1, 0]),  # slot 0 holds number 8, of which two steps more are to come
        (5, [1, 1, 1, 1, 0, 0, 1, 1]),
    ]:
        add(tf.fill([count], 1.0))
        assert priorities(memory) == expected


def put_tensors(memory, number):
    action = tf.cast(number, tf.int64)
    step = make_step(number[:, None], action, number, tf.ones_like(number), number[:, None])
    memory.add(step, tf.zeros_like(action))


def test_rows_that_were_only_being_reset_have_no_priority():
    memory = make()
    put(memory, [0, 1, 2], acted=np.array([True, False, True]))
    assert priorities(memory) == [1, 1, 0, 0, 0, 0, 0, 0]
    assert set(memory.sample(seeds.at(KEY, 0)).action.numpy()) == {0, 2}


def test_a_batch_before_any_is_whole_is_of_the_first():
    memory = make(THREE_STEPS)
    put(memory, [7])
    batch = memory.sample(seeds.at(KEY, 0))
    assert batch.action.numpy().tolist() == [7] * 4
    assert batch.weight.numpy().tolist() == [1] * 4


@pytest.mark.slow
def test_a_batch_is_a_function_of_the_seed(compiled):
    memory = make(capacity=200, batch_size=32)
    put(memory, range(150))
    sample = compiled(memory.sample)
    one, same, other = (sample(seeds.at(KEY, step)).place.numpy().tolist() for step in (0, 0, 1))
    assert one == same == memory.sample(seeds.at(KEY, 0)).place.numpy().tolist()
    assert one != other


def test_a_trainer_without_priorities_is_refused():
    agent = agentlab.make_agent("classifier-digits", changes={"memory": {"name": "prioritized-replay"}})
    with pytest.raises(errors.UsageError) as failure:
        agent.learner.prepare()
    assert str(failure.value) == (
        "Prioritised replay draws by the trainer's error on each transition, which this trainer doesn't report. "
        "Choose another memory, such as 'replay', or another trainer."
    )


class Silent(Trainer):
    """Promises priorities and gives none."""

    def request(self, spec):
        return Request(priority=True)

    def loss(self, output, batch, seed):
        return Loss(tf.reduce_sum(output, axis=1))


def test_a_promise_of_priorities_that_is_not_kept_is_refused():
    spec = EnvironmentSpec("numbers", Array((1,)), Discrete(2))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    agent = Agent(spec, Parts({"policy": [model]}, Greedy(), Silent(), PrioritizedReplay(8, 4)))
    agent.learner.prepare()
    put(agent.learner.memory, [0])
    with pytest.raises(errors.UsageError) as failure:
        agent.learner.update()
    assert str(failure.value) == (
        "Silent asks for priority=True, but its update came without priorities; expected Loss(..., priority=...), or "
        "Update(..., priority=...)."
    )


WRONG = {
    "alpha": ({"priority_exponent": 1.5}, "'priority_exponent' must be <= 1: 1.5"),
    "beta": ({"weight_exponent": Linear(0.4, 2.0, 10)}, "'weight_exponent' must be 0 to 1"),
    "smallest": ({"smallest_error": 0.0}, "'smallest_error' must be > 0: 0.0"),
    "not a number": ({"weight_exponent": float("nan")}, "'weight_exponent' must be 0 to 1: nan"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(errors.UsageError) as failure:
        build_part("memory", part("prioritized-replay", **settings))
    assert str(failure.value).startswith(f"Wrong setting of memory 'prioritized-replay': {message}")
