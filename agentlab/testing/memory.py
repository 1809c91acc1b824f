"""The lines of the Memory contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab.memory import Layout, Memory, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.layouts import LENGTH, REQUESTS, is_built, layout_of, numbered, rows_of, steps_of, weight_of
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.violation import expect, expect_in_range, expect_same, is_same, leaves, shape_and_dtype
from agentlab.testing.probes.draws import kinds_of_draws
from agentlab.testing.probes.untouched import untouched
from agentlab.types import Batch, Nest, Step

PLAIN = EnvironmentSpec("plain", Array((3,)), Discrete(5))
SUPERVISED = EnvironmentSpec("supervised", Array((2, 2)), Discrete(5), target=Discrete(5))
NESTED = EnvironmentSpec(
    "nested",
    {"camera": Array((2, 2), "uint8"), "arm": {"angles": Array((3,)), "closed": MultiBinary((2,))}},
    {"gear": Discrete(5), "steer": Array((2,))},
)
LEAVES = ("observation", "action", "reward", "discount", "next_observation", "ended", "acted", "target", "output", "state")
ROWS = 4
TURNS_ONLY = "it hands out the turn under way, and keeps nothing beyond it"


class MemoryTests(Suite):
    """Tests of what keeps transitions; derive, and name your class as `part`.

    A memory is asked for single steps; one that refuses those, for what it hands out instead.
    """

    kind: ClassVar[str] = "memory"

    def test_batches(self) -> None:
        """A batch is a Batch `[N, ...]`, or `[N, T, ...]`, in the shapes and dtypes of what was stored, target included."""
        for spec in (PLAIN, SUPERVISED, NESTED):
            memory, layout = self._filled(spec, 16)
            batch = memory.sample(around.seed())
            expect(isinstance(batch, Batch), "an agentlab.types.Batch", repr(batch)[:80])
            axes = (batch.reward.shape[0],) if layout.request.length is None else (batch.reward.shape[0], LENGTH)
            _expect_leaves(batch, layout, axes)
            _expect_own(batch, axes)

    def test_what_was_stored(self) -> None:
        """What it hands out was stored, whole: from the first transition on, and when more came than it can keep."""
        for spec in (PLAIN, NESTED):
            memory, layout = self._built(spec)
            _add(memory, _alone(numbered(layout, ROWS, 1)))
            _expect_stored(memory.sample(around.seed()), layout, 2)
            begin = 5
            for count in (ROWS, 2 * ROWS, 5000, 9000):
                _add(memory, numbered(layout, count, begin))
                begin += count
                for step in range(3):
                    _expect_stored(memory.sample(around.seed(step)), layout, begin)

    def test_kept(self) -> None:
        """Asked for the outputs and states of decisions, it hands them out with their steps; or it refuses when it is built."""
        request = attrs.evolve(self._request(), keep=("output", "state"))
        memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
        if not is_built(memory, layout):
            return
        _add(memory, numbered(layout, 16, 1))
        _expect_stored(memory.sample(around.seed()), layout, 17)

    def test_keeps_its_hands_off(self) -> None:
        """What it was given may be changed afterwards, and a batch that it handed out stays as it was."""
        memory, layout = self._built(PLAIN)
        if memory.records_acting:
            self.not_applicable(TURNS_ONLY)
            return
        step = tf.nest.map_structure(np.array, numbered(layout, 8, 1))
        inlets = tf.nest.map_structure(lambda _: execution.Inlet(), step)
        _add(memory, tf.nest.map_structure(lambda inlet, leaf: inlet.tensor(leaf), inlets, step))
        spoiled = tf.nest.map_structure(lambda leaf: ~leaf if leaf.dtype == np.bool_ else -leaf, step)
        tf.nest.map_structure(lambda inlet, leaf: inlet.tensor(leaf), inlets, spoiled)  # in the same memory
        batch = memory.sample(around.seed())
        _expect_stored(batch, layout, 9)
        before = {name: value.copy() for name, value in leaves(batch).items()}
        _add(memory, numbered(layout, 9000, 9))
        expect_same(leaves(batch), before, "a batch that stays as it was when more is stored")

    def test_ragged_turns(self) -> None:
        """In a turn some rows, or all, may be no transition; what it hands out of the others is what they went through."""
        usual = self._request()
        for request in (usual, attrs.evolve(usual, num_steps=3, discount=0.5), attrs.evolve(usual, length=LENGTH)):
            memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
            if not is_built(memory, layout):
                continue  # it hands out single steps only, or none
            for turn, numbers in enumerate(_ragged_turns(memory, layout)):
                batch = memory.sample(around.seed(turn))
                _expect_sums(batch, numbers, layout)
                _expect_weightless(batch)

    def test_priorities(self) -> None:
        """It takes in how far off the trainer was on each row of a batch, and hands out what was stored."""
        request = attrs.evolve(self._request(), priority=True)
        memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
        if not is_built(memory, layout):
            self.not_applicable("it refuses trainers that tell how far off they were")
            return
        _add(memory, numbered(layout, 16))
        for step in range(3):
            batch = memory.sample(around.seed(step))
            memory.update_priorities(batch.place, tf.cast(batch.action, tf.float32))
            _expect_stored(memory.sample(around.seed(step)), layout, 16, begin=0)

    def test_several_steps(self) -> None:
        """Asked for three steps in one, it sums up three rewards of one environment; or it refuses when it is built."""
        built = self._of_three_steps()
        if built is None:
            return
        memory, layout = built
        _go_on(memory, layout, 0, 64)
        batch = memory.sample(around.seed())
        number = np.asarray(batch.observation)[:, 0]
        reward = number + 0.5 * (number + ROWS) + 0.25 * (number + 2 * ROWS)
        expect_same(batch.reward, reward, "the reward of three steps, each counting half of the one before")
        expect_same(batch.discount, np.full_like(number, 0.25), "the discount of three steps")
        expect_same(np.asarray(batch.next_observation)[:, 0], number + 2 * ROWS + 0.5, "what the last of three steps led to")

    def test_given_up(self) -> None:
        """Of several steps, none is counted beyond one after which the episode was given up."""
        built = self._of_three_steps()
        if built is None:
            self.not_applicable("it hands out single steps only")
            return
        memory, layout = built
        _go_on(memory, layout, 0, 16)
        memory.cut(tf.range(ROWS, dtype=tf.int64))
        _go_on(memory, layout, 16, 32)
        for step in range(8):
            batch = memory.sample(around.seed(step))
            number = np.asarray(batch.observation)[:, 0]
            end = np.where(number < 16, 16, 32)
            reward = sum(0.5**k * np.where(number + k * ROWS < end, number + k * ROWS, 0) for k in range(3))
            expect_same(batch.reward, np.float32(reward), "rewards of one episode, given up or not")

    def test_sequences(self) -> None:
        """Asked for sequences, it hands out steps of one environment in order, with their ends; or it refuses when built."""
        for priority in (False, True):
            request = Request(length=LENGTH, priority=priority)
            memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
            if not is_built(memory, layout):
                continue
            for turn in range(16):
                step = steps_of(layout, ROWS * turn + np.arange(ROWS))
                _add(memory, attrs.evolve(step, ended=tf.fill([ROWS], _ends(turn)), discount=tf.ones([ROWS])))
            _expect_in_order(memory.sample(around.seed()))

    def test_everything_in_order(self) -> None:
        """Asked for everything since the last update, it hands out that, in order, of every environment; or it refuses."""
        memory, layout = self.make(), layout_of(PLAIN, Request(length=LENGTH, order="all"), ROWS)
        if not is_built(memory, layout):
            return
        for begin in (0, LENGTH, 2 * LENGTH):
            for turn in range(begin, begin + LENGTH):
                step = steps_of(layout, ROWS * turn + np.arange(ROWS))
                _add(memory, attrs.evolve(step, ended=tf.fill([ROWS], _ends(turn)), discount=tf.ones([ROWS])))
            batch = memory.sample(around.seed())
            wanted = np.arange(ROWS)[:, None] + ROWS * np.arange(begin, begin + LENGTH)
            expect_same(np.asarray(batch.reward), np.float32(wanted), f"the last {LENGTH} steps of every environment in order")
            _expect_in_order(batch)

    def test_seed(self) -> None:
        """A batch is a function of what is stored and the seed."""
        memory, layout = self._filled(PLAIN, 16)
        _add(memory, numbered(layout, 2_000, 16))  # more than a batch, of which it may take some from everywhere
        one, again, other = (memory.sample(around.seed(step)) for step in (0, 0, 1))
        expect_same(one, again, "the same batch for the same seed")
        kinds = kinds_of_draws(memory.sample, tf.TensorSpec([2], tf.int64))
        expect(not kinds.stateful, "draws by agentlab.seeds, from the seed given", f"the operations {sorted(kinds.stateful)}")
        if kinds.stateless:
            expect(not is_same(one, other), "another batch for another seed", "the same")

    def test_graph(self) -> None:
        """Run as a graph, it keeps and hands out what it does eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, it keeps and hands out what it does eagerly."""
        self._expect_compiled("xla")

    def test_variables(self) -> None:
        """`variables()` names all it keeps: copied into another memory, they bring the same batches.

        `written_rows()` and `ranges()` are true of them.
        """
        (one, layout), (other, _) = self._filled(PLAIN, 64), self._filled(PLAIN, 8)
        if one.records_acting:
            self.not_applicable(TURNS_ONLY)
            return
        kept = {name: type(value).__name__ for name, value in one.variables().items() if not isinstance(value, tf.Variable)}
        expect(not kept, "tf.Variables by name", kept)
        expect(one.variables().keys() == other.variables().keys(), "the same names in every process", "others")
        for name, count in one.written_rows().items():
            expect(name in one.variables(), "written_rows() of variables()", name)
            rest = one.variables()[name][count:].numpy()
            expect(not rest.any(), f"zeros in {name} after its {count} written rows", rest)
        for name, variable in other.variables().items():
            variable.assign(one.variables()[name])
        for step in range(3):
            if step:
                for memory in (one, other):
                    _add(memory, numbered(layout, ROWS, 100 * step))
            expected = "the same batches from a memory restored by its variables()"
            expect_same(one.sample(around.seed(step)), other.sample(around.seed(step)), expected)
        expect_in_range(one.ranges(), one.variables())

    def test_keeping_touches_nothing(self) -> None:
        """Keeping and handing out leave random states and other global state alone."""
        with untouched("adding and sampling"):
            self._filled(PLAIN, 16)[0].sample(around.seed())

    def _request(self) -> Request:
        """Returns the first of the usual requests that the memory doesn't refuse."""
        accepted = (request for request in REQUESTS if is_built(self.make(), layout_of(PLAIN, request, ROWS)))
        return next(accepted, REQUESTS[0])

    def _built(self, spec: EnvironmentSpec) -> tuple[Any, Layout]:
        memory, layout = self.make(), layout_of(spec, self._request(), ROWS)
        memory.build(layout)
        return memory, layout

    def _of_three_steps(self) -> tuple[Any, Layout] | None:
        """Returns a memory of transitions of three steps, each counting half of the one before; None if it refuses."""
        for priority in (False, True):
            memory, layout = self.make(), layout_of(PLAIN, Request(3, 0.5, priority=priority), ROWS)
            if is_built(memory, layout):
                return memory, layout
        return None

    def _filled(self, spec: EnvironmentSpec, count: int) -> tuple[Any, Layout]:
        memory, layout = self._built(spec)
        for begin in range(0, count, ROWS):
            _add(memory, numbered(layout, ROWS, begin))
        return memory, layout

    def _expect_compiled(self, mode: str) -> None:
        (eager, layout), (other, _) = self._filled(PLAIN, 16), self._filled(PLAIN, 16)
        turns = [numbered(layout, ROWS, begin) for begin in (16, 20)]
        for turn in turns:
            _add(eager, turn)
        got = _compiled_batch(other, turns, lambda function: execution.compiled(function, mode))
        want = eager.sample(around.seed())
        one, two = (attrs.evolve(batch, weight=weight_of(batch)) for batch in (want, got))
        expect_same(one, two, f"the same batch eagerly and by {mode}")


def _compiled_batch(memory: Memory, turns: list[Step], compiled: Callable[[Any], Any]) -> Batch:
    """Adds turns and returns a batch, by compiled calls; by one for both where nothing is kept beyond it."""

    def add_and_sample(step: Step) -> Batch:
        _add(memory, step)
        return memory.sample(around.seed())

    *before, last = turns
    if memory.records_acting:
        return compiled(add_and_sample)(last)
    add = compiled(lambda step: _add(memory, step))
    for step in (*before, last):
        add(step)
    return compiled(memory.sample)(around.seed())


def _add(memory: Memory, step: Step) -> None:
    """Adds steps of the environments in turn."""
    count = tf.shape(step.reward, out_type=tf.int64)[0]
    memory.add(step, tf.range(count) % ROWS)


def _go_on(memory: Memory, layout: Layout, begin: int, end: int) -> None:
    """Adds numbered transitions of episodes that do not end."""
    for number in range(begin, end, ROWS):
        going_on = {"discount": tf.ones([ROWS]), "ended": tf.zeros([ROWS], tf.bool)}
        _add(memory, attrs.evolve(numbered(layout, ROWS, number), **going_on))


def _alone(step: Step) -> Step:
    """Returns a turn in which only the first environment acted."""
    return attrs.evolve(step, acted=tf.range(ROWS) == 0)


def _ends(turn: int) -> bool:
    return turn % 3 == 2


def _expect_leaves(batch: Batch, layout: Layout, axes: tuple[int, ...]) -> None:
    """Raises a Violation unless the leaves of a batch are those of a step in shape and dtype, after the batch's `axes`."""
    one, other = (leaves({name: getattr(value, name) for name in LEAVES}) for value in (numbered(layout, 1), batch))
    expect(one.keys() == other.keys(), f"the leaves {sorted(one)}", sorted(other))
    for name, value in other.items():
        like = one[name]
        shape = (*axes, *like.shape[1:])
        kept = value.dtype == like.dtype and value.shape == shape
        expect(kept, f"{name} in {like.dtype} of shape {shape}", shape_and_dtype(value))


def _expect_own(batch: Batch, axes: tuple[int, ...]) -> None:
    """Raises a Violation unless weights and places are of the batch's rows."""
    if not isinstance(batch.weight, tuple):
        kept = batch.weight.dtype == tf.float32 and tuple(batch.weight.shape) in (axes[:1], axes)
        expect(kept, f"weight in float32 of shape {axes[:1]} or {axes}", shape_and_dtype(batch.weight))
    for name, value in leaves(batch.place).items():
        expect(value.shape[:1] == axes[:1], f"place{name and ' '}{name} of {axes[0]} rows", shape_and_dtype(value))


def _expect_stored(batch: Batch, layout: Layout, end: int, begin: int = 1) -> None:
    """Raises a Violation unless every row that counts is one of the numbered transitions from `begin` to `end - 1`."""
    rows = rows_of(batch, layout)
    numbers = rows.reward
    kept = len(numbers) > 0 and numbers.min() >= begin and numbers.max() < end
    expect(kept, f"transitions that were stored, rewards from {begin} to {end - 1}", f"rewards {numbers[:4]}")
    stored = steps_of(layout, numbers.astype(int))
    for name in ("observation", "action", "next_observation", "discount", "target", "output", "state"):
        expect_same(getattr(rows, name), getattr(stored, name), f"the {name} of the transition that the reward belongs to")


def _expect_in_order(batch: Batch) -> None:
    """Raises a Violation unless sequences are of consecutive steps of one environment, with what they led to and their ends."""
    number = np.asarray(batch.observation)[..., 0]
    expect_same(number, number[:, :1] + ROWS * np.arange(LENGTH, dtype=np.float32), "consecutive steps of one environment")
    expect_same(np.asarray(batch.reward), number, "the rewards of those steps")
    expect_same(np.asarray(batch.next_observation)[..., 0], number + 0.5, "what each of those steps led to")
    ended = np.vectorize(_ends)(number.astype(int) // ROWS)
    expect_same(np.asarray(batch.ended), ended, "the ends of episodes where they were")


def _ragged_turns(memory: Memory, layout: Layout) -> Iterator[list[list[int]]]:
    """Adds turns of the rows that acted in each; yields, after each turn, the numbers of every row's transitions so far."""
    turns = [(0, 1, 2, 3), (1, 3), (), (0, 2, 3), (2,), (0, 1, 2, 3), (3, 1), (0,), (0, 1, 2, 3), (0, 1, 2, 3)]
    numbers: list[list[int]] = [[] for _ in range(ROWS)]
    begin = 1
    for rows in turns:
        shown = np.full(ROWS, -1)
        for row in rows:
            shown[row] = begin
            numbers[row].append(begin)
            begin += 1
        acted = tf.constant(shown > 0)
        memory.add(
            attrs.evolve(steps_of(layout, shown), discount=tf.ones([ROWS]), ended=~acted, acted=acted),
            tf.range(ROWS, dtype=tf.int64),
        )
        yield numbers


def _expect_weightless(batch: Batch) -> None:
    """Raises a Violation unless what is no transition weighs nothing."""
    weight, acted = np.asarray(weight_of(batch)), np.asarray(batch.acted)
    counted = (weight.reshape(*weight.shape, *[1] * (acted.ndim - weight.ndim)) > 0.0) & ~acted
    expect(not counted.any(), "rows that are no transition (`acted` False) to weigh nothing", f"a weight of {weight.max():g}")


def _expect_sums(batch: Batch, numbers: list[list[int]], layout: Layout) -> None:
    """Raises a Violation unless each row that counts is of one environment, summed up to where it is known."""
    following = {number: row[index:] for row in numbers for index, number in enumerate(row)}
    rows, request = rows_of(batch, layout), layout.request
    shown: list[Nest] = [rows.observation[:, 0], rows.action, rows.reward, rows.next_observation[:, 0]]
    for number, action, reward, last in zip(*shown, strict=True):
        expect(int(number) in following, "observations that were stored", number)
        steps = following[int(number)][: request.num_steps]
        total = sum(request.discount**index * step for index, step in enumerate(steps))
        expect(action == number % 5, f"action {number % 5} with observation {number}", action)
        expect(np.isclose(reward, total), f"a reward of {total} from transition {number} on, of its own row", reward)
        expect(last == steps[-1] + 0.5, f"{steps[-1] + 0.5} to be what transition {number} led to, in its own row", last)
