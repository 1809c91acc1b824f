"""Frame replay: element by element what a buffer of whole observations hands out, from an eighth of the memory."""

import attrs
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab import errors, seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system import free_memory
from agentlab.tensors import execution
from agentlab.tensors.state import variables_of
from agentlab.testing.checks.stored_steps import AppendedRows
from agentlab_memories.frames import Frames
from agentlab_memories.observations import Whole
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_memories.ring import Ring
from making import make_layout, make_step, tensors

DEPTH, SIDE = 3, 2
SPEC = EnvironmentSpec("film", Array((DEPTH, SIDE, SIDE), "uint8", 0, 255), Discrete(5))
SEED = seeds.at(seeds.stream(0, "memory"), 0)


class Film:
    """One environment that shows stacks of frames, drawn from few pictures, so that some recur by chance.

    Args:
        seed: of the pictures.
        begins: what older frames an episode begins with: "repeated", "black", "other" ones, or "no stack" at all.
    """

    def __init__(self, seed, begins, pictures):
        self.generator, self.begins, self.pictures = np.random.default_rng(seed), begins, pictures
        self.reset()

    def frame(self):
        return np.full((SIDE, SIDE), self.generator.integers(self.pictures), np.uint8)

    def reset(self):
        older = {
            "repeated": lambda frame: [frame] * (DEPTH - 1),
            "black": lambda frame: [np.zeros_like(frame)] * (DEPTH - 1),
        }.get(self.begins, lambda frame: [self.frame() for _ in range(DEPTH - 1)])
        frame = self.frame()
        self.stack = np.stack([*older(frame), frame])

    def step(self):
        """Returns the stack that was acted on, and what came of it."""
        before = self.stack
        if self.begins == "no stack":
            self.stack = np.stack([self.frame() for _ in range(DEPTH)])
        else:
            self.stack = np.concatenate([before[1:], self.frame()[None]])
        return before, self.stack


def steps_of(films, number, ends):
    """Returns (step, row) of one step of the environments `ends` names, with how it ended."""
    rows = sorted(ends)
    steps = [films[row].step() for row in rows]
    for row in rows:
        if ends[row]:
            films[row].reset()
    numbers = number + np.arange(len(rows))
    step = make_step(
        np.stack([before for before, _ in steps]),
        numbers % 5,
        np.float32(numbers),
        np.float32([ends[row] not in ("terminated", "both") for row in rows]),
        np.stack([after for _, after in steps]),
        ended=np.array([bool(ends[row]) for row in rows]),
    )
    return step, np.array(rows)


class Held:
    """A ring, asked as a memory is."""

    def __init__(self, ring):
        self.appended_rows, self.variables = ring.appended_rows, lambda: variables_of(ring)


SIGNATURE = list(
    tf.nest.map_structure(
        lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), steps_of([Film(0, "black", 1)], 0, {0: ""})
    )
)


def joined(parts):
    return tf.nest.map_structure(lambda *leaves: np.concatenate(leaves), *parts)


CASES = [  # rows, steps, capacity
    (1, 3, 7),
    (3, 3, 30),
    *(pytest.param(case, marks=pytest.mark.slow) for case in [(1, 1, 7), (1, 1, 30), (1, 3, 30), (3, 1, 30)]),
]


@pytest.fixture(scope="module", params=CASES, ids=str)
def pair(request):
    """A frame ring and a plain one, of the same size."""
    rows, steps, capacity = request.param
    layout = make_layout(SPEC, rows, num_steps=steps, discount=0.5)
    rings = [Ring(layout, capacity, kind) for kind in (Frames, Whole)]
    return rows, rings, [execution.Compiled(ring.add, "graph", SIGNATURE) for ring in rings]


ENDS = st.sampled_from(["", "", "", "", "terminated", "truncated", "both"])


@pytest.mark.slow
@given(data=st.data())
def test_what_is_read_is_what_a_naive_buffer_reads(pair, data):
    rows, rings, adds = pair
    for ring in rings:
        for name, variable in variables_of(ring).items():
            fill = -1 if name.rpartition("/")[2] == "newest" else 0
            variable.assign(tf.fill(variable.shape, tf.cast(fill, variable.dtype)))
    begins, pictures = data.draw(st.sampled_from(["repeated", "black", "other", "no stack"])), data.draw(st.integers(1, 200))
    films = [Film(seed, begins, pictures) for seed in range(rows)]
    number, was_reset, appended = 0, [False] * rows, [AppendedRows(Held(ring)) for ring in rings]
    for turns in data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=9)):
        parts = []
        for _ in range(turns):
            ends = {row: data.draw(ENDS) for row in range(rows)}
            # A row that ended may be reset in a turn of its own, in which nothing is added for it.
            taking = {row: end for row, end in ends.items() if not (was_reset[row] and data.draw(st.booleans()))}
            was_reset = [bool(taking.get(row)) for row in range(rows)]
            if taking:
                parts.append(steps_of(films, number, taking))
                number += len(taking)
        if parts:
            for add, written in zip(adds, appended, strict=True):
                add(*tensors(joined(parts)))
                written.check()
    frames, whole = rings
    begin, oldest = (int(ring.bounds()[0]) for ring in rings)
    assert oldest <= begin < number or not number
    slots = tf.constant([index % frames.capacity for index in range(begin, number)], tf.int64)
    tf.nest.map_structure(np.testing.assert_array_equal, frames.read(slots), whole.read(slots))


def filled(kind, capacity, episode, count, begins="black", rows=1):
    """Returns a ring to which `count` steps of every environment were added, episodes being `episode` steps long."""
    ring = Ring(make_layout(SPEC, rows), capacity, kind)
    add = execution.Compiled(ring.add, "graph", SIGNATURE)
    films = [Film(seed, begins, 256) for seed in range(rows)]
    for turns in (range(begin, min(begin + 10, count)) for begin in range(0, count, 10)):
        ends = ["truncated" if (turn + 1) % episode == 0 else "" for turn in turns]
        parts = [steps_of(films, turn * rows, dict.fromkeys(range(rows), end)) for turn, end in zip(turns, ends, strict=True)]
        add(*tensors(joined(parts)))
    return ring


@pytest.mark.slow
@pytest.mark.parametrize(("begins", "episode"), [("black", 40), ("repeated", 40), ("other", 80)])
def test_all_that_the_capacity_promises_are_kept(begins, episode):
    ring = filled(Frames, 400, episode, 900, begins)
    assert [int(bound) for bound in ring.bounds()] == [500, 900]


@pytest.mark.slow
def test_of_very_short_episodes_fewer_are_kept_and_those_whole():
    frames, whole = (filled(kind, 100, 1, 300, "other") for kind in (Frames, Whole))
    begin, end = (int(bound) for bound in frames.bounds())
    assert end == 300
    assert 200 < begin <= 300 - 100 // (DEPTH + 1)  # each needs DEPTH + 1 frames of its own
    slots = tf.constant([number % 100 for number in range(begin, end)], tf.int64)
    tf.nest.map_structure(np.testing.assert_array_equal, frames.read(slots), whole.read(slots))


@pytest.mark.slow
def test_an_episode_of_still_pictures_outlives_the_frames_of_others():
    """Environment 0 shows one picture for ever; its frames are as new as those of environment 1."""
    ring, films = Ring(make_layout(SPEC, 2), 60, Frames), [Film(0, "repeated", 1), Film(1, "repeated", 256)]
    add = execution.Compiled(ring.add, "graph", SIGNATURE)
    for turn in range(200):
        add(*tensors(steps_of(films, 2 * turn, {0: "", 1: ""})))
    assert [int(bound) for bound in ring.bounds()] == [340, 400]


@pytest.mark.quick("eager", "graph")
def test_every_execution_keeps_the_same(compiled):
    rings = [Ring(make_layout(SPEC, 2, num_steps=2, discount=0.5), 10, kind) for kind in (Frames, Whole)]
    films = [Film(seed, "black", 256) for seed in range(2)]

    def adding(ring):
        """As in the device gear, where all rows act."""
        return compiled(lambda step, row: ring.add(attrs.evolve(step, acted=tf.ones(step.acted.shape, tf.bool)), row))

    adds = [adding(ring) for ring in rings]
    for turn in range(12):
        step = tensors(
            steps_of(films, 2 * turn, {0: "terminated" if turn % 4 == 3 else "", 1: "truncated" if turn == 5 else ""})
        )
        for add in adds:
            add(*step)
    slots = tf.range(10, dtype=tf.int64)
    read = [compiled(ring.read)(slots) for ring in rings]
    tf.nest.map_structure(np.testing.assert_array_equal, *read)


@pytest.mark.parametrize("kind", [UniformReplay, PrioritizedReplay])
def test_memories_hand_out_the_same_from_frames(kind):
    batches = []
    for observations in ("frames", "whole"):
        memory = kind(30, 16, observations=observations)
        memory.build(make_layout(SPEC, 2, num_steps=2, discount=0.5, priority=True))
        films = [Film(seed, "repeated", 256) for seed in range(2)]
        add = execution.Compiled(memory.add, "graph", SIGNATURE)
        for turn in range(40):
            add(*tensors(steps_of(films, 2 * turn, {0: "", 1: "truncated" if turn % 20 == 7 else ""})))
        batches.append(memory.sample(SEED))
    tf.nest.map_structure(np.testing.assert_array_equal, *batches)


@pytest.mark.slow
def test_lost_transitions_have_no_priority():
    memory = PrioritizedReplay(100, 64, observations="frames")
    memory.build(make_layout(SPEC, priority=True))
    films, add = [Film(0, "other", 256)], execution.Compiled(memory.add, "graph", SIGNATURE)
    for turn in range(300):
        add(*tensors(steps_of(films, turn, {0: "truncated"})))
        if turn % 50 == 49:
            begin, end = (int(bound) for bound in memory._ring.bounds())
            assert end - begin < turn + 1
            drawn = memory.sample(SEED).reward.numpy()
            assert drawn.min() >= begin
    priorities = memory.variables()["tree/levels/000"].numpy().ravel()[:100]
    assert (priorities > 0).sum() == end - begin


@pytest.mark.slow
def test_lost_transitions_get_no_priority_once_their_steps_are_complete():
    memory = PrioritizedReplay(24, 64, observations="frames")
    memory.build(make_layout(SPEC, 4, num_steps=5, discount=0.5, priority=True))
    films, add = [Film(row, "other", 256) for row in range(4)], execution.Compiled(memory.add, "graph", SIGNATURE)
    for turn in range(60):
        add(*tensors(steps_of(films, 4 * turn, {row: "truncated" if (turn + row) % 2 else "" for row in range(4)})))
        begin, end = (int(bound) for bound in memory._ring.bounds())
        priorities = memory.variables()["tree/levels/000"].numpy().ravel()[:24]
        whole = np.isin(np.arange(24), [number % 24 for number in range(begin, end)])
        assert not priorities[~whole].any()
    assert begin > 4 * 60 - 24


# ---- sizes -------------------------------------------------------------------------------------------------------------

ATARI = EnvironmentSpec("atari", Array((4, 84, 84), "uint8", 0, 255), Discrete(4))


def test_a_million_atari_transitions_take_less_than_eight_gigabytes():
    assert 7_056 * 1_050_000 < Frames.num_bytes(make_layout(ATARI), 1_000_000) < 7.6e9
    assert Whole.num_bytes(make_layout(ATARI), 1_000_000) == 2 * 4 * 7_056 * 1_000_000


@pytest.mark.parametrize("kind", [Frames, Whole])
def test_the_bytes_are_those_of_the_variables(kind):
    for capacity, rows in ((10, 1), (1_000, 3)):
        layout = make_layout(SPEC, rows)
        held = variables_of(kind(layout, capacity)).values()
        total = sum(np.prod(variable.shape) * variable.dtype.size for variable in held)
        assert total - kind.num_bytes(layout, capacity) in range(8 * DEPTH * rows + 17)  # counters


def test_what_does_not_fit_is_refused_before_it_is_allocated(monkeypatch):
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 2_000_000_000)
    memory = UniformReplay(1_000_000, observations="frames")
    with pytest.raises(errors.UsageError) as failure:
        memory.build(make_layout(ATARI))
    assert str(failure.value) == (
        "A replay of 1,000,000 transitions takes 7,496,081,792 bytes (7.5 GB); only 2,000,000,000 (2.0 GB) are free. "
        "Set a smaller memory.capacity."
    )


def test_free_memory_is_what_the_system_and_the_container_leave(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    monkeypatch.setattr(free_memory, "MEMINFO", meminfo)
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    assert free_memory.free_bytes() is None
    free_memory.check_free(10**18, "Everything", "capacity")
    meminfo.write_text("MemTotal:  2000 kB\nMemAvailable:    1000 kB\n")
    assert free_memory.free_bytes() == 1_024_000
    (tmp_path / "memory.current").write_text("500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory.free_bytes() == 1_024_000
    (tmp_path / "memory.max").write_text("900000\n")
    assert free_memory.free_bytes() == 500_000


@pytest.mark.parametrize(
    "space",
    [Array((4,)), Array((4, 84, 84)), Array((84,), "uint8"), Array((84, 80, 3), "uint8"), Array((10, 10, 4), "uint8")],
    ids=str,
)
def test_what_is_no_stack_of_frames_is_refused(space):
    memory = UniformReplay(100, observations="frames")
    with pytest.raises(errors.UsageError) as failure:
        memory.build(make_layout(EnvironmentSpec("other", space, Discrete(2))))
    assert str(failure.value) == (
        "Frame replay stores stacks of frames [frames, height, width] of uint8; environment 'other' shows a "
        f"{space}. Choose memory.observations='whole', or preprocess the frames."
    )
