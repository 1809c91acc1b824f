"""Tests of the Memory contract."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab.memory import Layout, Request
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.layouts import LENGTH, REQUESTS, is_built, layout_of, numbered, steps_of, weight_of
from agentlab.testing.checks.stored_steps import (
    ROWS,
    AppendedRows,
    add,
    add_ragged_turns,
    add_unended,
    compiled_batch,
    expect_early,
    expect_in_order,
    expect_leaves,
    expect_stored,
    expect_sums,
    expect_weightless,
    expect_weights_and_places,
    first_row_only,
    is_end,
)
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.violation import expect, expect_in_range, expect_same, is_same, leaves
from agentlab.testing.probes.draws import kinds_of_draws
from agentlab.testing.probes.untouched import untouched
from agentlab.types import Batch

PLAIN = EnvironmentSpec("plain", Array((3,)), Discrete(5))
SUPERVISED = EnvironmentSpec("supervised", Array((2, 2)), Discrete(5), target=Discrete(5))
NESTED = EnvironmentSpec(
    "nested",
    {"camera": Array((2, 2), "uint8"), "arm": {"angles": Array((3,)), "closed": MultiBinary((2,))}},
    {"gear": Discrete(5), "steer": Array((2,))},
)
TURNS_ONLY = "it hands out the turn under way, and keeps nothing beyond it"


class MemoryTests(Suite):
    """Tests of memories; derive a class, and name yours as `part`.

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
            expect_leaves(batch, layout, axes)
            expect_weights_and_places(batch, axes)

    def test_what_was_stored(self) -> None:
        """What it hands out was stored, whole: from the first transition on, and when more came than it can keep."""
        for spec in (PLAIN, NESTED):
            memory, layout = self._built(spec)

            # From the first transition on, though there is only one.
            add(memory, first_row_only(numbered(layout, ROWS, 1)))
            expect_stored(memory.sample(around.seed()), layout, 2)
            begin = 5

            # More than it can store, in one call and in several.
            for count in (ROWS, 2 * ROWS, 5000, 9000):
                add(memory, numbered(layout, count, begin))
                begin += count
                for step in range(3):
                    expect_stored(memory.sample(around.seed(step)), layout, begin)

    def test_kept(self) -> None:
        """Asked for the outputs and states of decisions, it hands them out with their steps; or it refuses when it is built."""
        request = attrs.evolve(self._request(), keep=("output", "state"))
        memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
        if not is_built(memory, layout):
            return
        add(memory, numbered(layout, 16, 1))
        expect_stored(memory.sample(around.seed()), layout, 17)

    def test_early_batches(self) -> None:
        """If it samples early, that is what it samples once the steps under way are stored, bit for bit."""
        usual = self._request()
        for request in (usual, attrs.evolve(usual, num_steps=3, discount=0.5), attrs.evolve(usual, length=LENGTH)):
            memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
            if not is_built(memory, layout):
                continue  # it hands out single steps only, or none
            if not memory.samples_early:
                self.not_applicable("its batches are known only when the step under way is stored")
                return

            # From the first turns on, and with more than it may be able to store.
            begin = 1
            for count in (ROWS, 2_500 * ROWS):
                add(memory, numbered(layout, count, begin))
                begin += count
                for _ in range(4):
                    expect_early(memory, numbered(layout, ROWS, begin))
                    begin += ROWS

    def test_keeps_its_hands_off(self) -> None:
        """What it was given may be changed afterwards, and a batch that it handed out stays as it was."""
        memory, layout = self._built(PLAIN)
        if memory.records_acting:
            self.not_applicable(TURNS_ONLY)
            return

        # Arrays that other calls write over, as those of the loop on the host.
        step = tf.nest.map_structure(np.array, numbered(layout, 8, 1))
        inlets = tf.nest.map_structure(lambda _: execution.Inlet(), step)
        add(memory, tf.nest.map_structure(lambda inlet, leaf: inlet.tensor(leaf), inlets, step))

        # Other numbers in the same memory, after they were stored.
        spoiled = tf.nest.map_structure(lambda leaf: ~leaf if leaf.dtype == np.bool_ else -leaf, step)
        tf.nest.map_structure(lambda inlet, leaf: inlet.tensor(leaf), inlets, spoiled)  # in the same memory
        batch = memory.sample(around.seed())
        expect_stored(batch, layout, 9)

        # A batch must not be a view of the storage.
        before = {name: value.copy() for name, value in leaves(batch).items()}
        add(memory, numbered(layout, 9000, 9))
        expect_same(leaves(batch), before, "a batch that stays as it was when more is stored")

    def test_ragged_turns(self) -> None:
        """In a turn some rows, or all, may be no transition; what it hands out of the others is what they went through."""
        usual = self._request()
        for request in (usual, attrs.evolve(usual, num_steps=3, discount=0.5), attrs.evolve(usual, length=LENGTH)):
            memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
            if not is_built(memory, layout):
                continue  # it hands out single steps only, or none
            for turn, numbers in enumerate(add_ragged_turns(memory, layout)):
                batch = memory.sample(around.seed(turn))
                expect_sums(batch, numbers, layout)
                expect_weightless(batch)

    def test_priorities(self) -> None:
        """It takes in how far off the trainer was on each row of a batch, and hands out what was stored."""
        request = attrs.evolve(self._request(), priority=True)
        memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
        if not is_built(memory, layout):
            self.not_applicable("it refuses trainers that tell how far off they were")
            return
        add(memory, numbered(layout, 16))
        for step in range(3):
            batch = memory.sample(around.seed(step))
            memory.update_priorities(batch.place, tf.cast(batch.action, tf.float32))
            expect_stored(memory.sample(around.seed(step)), layout, 16, begin=0)

    def test_several_steps(self) -> None:
        """Asked for three steps in one, it sums up three rewards of one environment; or it refuses when it is built."""
        built = self._of_three_steps()
        if built is None:
            return
        memory, layout = built
        add_unended(memory, layout, 0, 64)

        # [N] numbers of the first steps tell what the sums have to be.
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

        # Every episode is cut between steps 15 and 16, though none ended.
        add_unended(memory, layout, 0, 16)
        memory.cut(tf.range(ROWS, dtype=tf.int64))
        add_unended(memory, layout, 16, 32)
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
                add(memory, attrs.evolve(step, ended=tf.fill([ROWS], is_end(turn)), discount=tf.ones([ROWS])))
            expect_in_order(memory.sample(around.seed()))

    def test_everything_in_order(self) -> None:
        """Asked for everything since the last update, it hands out that, in order, of every environment; or it refuses."""
        memory, layout = self.make(), layout_of(PLAIN, Request(length=LENGTH, order="all"), ROWS)
        if not is_built(memory, layout):
            return

        # Three updates: what the last one has learned from does not come again.
        for begin in (0, LENGTH, 2 * LENGTH):
            for turn in range(begin, begin + LENGTH):
                step = steps_of(layout, ROWS * turn + np.arange(ROWS))
                add(memory, attrs.evolve(step, ended=tf.fill([ROWS], is_end(turn)), discount=tf.ones([ROWS])))
            batch = memory.sample(around.seed())
            expected_rewards = np.arange(ROWS)[:, None] + ROWS * np.arange(begin, begin + LENGTH)
            expect_same(
                np.asarray(batch.reward), np.float32(expected_rewards), f"the last {LENGTH} steps of every environment in order"
            )
            expect_in_order(batch)

    def test_seed(self) -> None:
        """A batch is a function of what is stored and the seed."""
        memory, layout = self._filled(PLAIN, 16)
        add(memory, numbered(layout, 2_000, 16))  # more than a batch, of which it may take some from everywhere
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
        """`variables()` names all it keeps: copied into another memory, they bring the same batches. `ranges()` is true."""
        (one, layout), (other, _) = self._filled(PLAIN, 64), self._filled(PLAIN, 8)
        if one.records_acting:
            self.not_applicable(TURNS_ONLY)
            return

        # Nothing but variables, by the same names in every process.
        others = {name: type(value).__name__ for name, value in one.variables().items() if not isinstance(value, tf.Variable)}
        expect(not others, "tf.Variables by name", others)
        expect(one.variables().keys() == other.variables().keys(), "the same names in every process", "others")

        # Its variables are all that another one needs to hand out the same batches.
        for name, variable in other.variables().items():
            variable.assign(one.variables()[name])
        for step in range(3):
            if step:
                for memory in (one, other):
                    add(memory, numbered(layout, ROWS, 100 * step))
            expected = "the same batches from a memory restored by its variables()"
            expect_same(one.sample(around.seed(step)), other.sample(around.seed(step)), expected)
        expect_in_range(one.ranges(), one.variables())

    def test_appended_rows(self) -> None:
        """`appended_rows()` is true: of the variables it names, only the rows that were appended since change."""
        usual = self._request()
        if self.make().records_acting:
            self.not_applicable(TURNS_ONLY)
            return
        several = (attrs.evolve(usual, num_steps=3), attrs.evolve(usual, length=LENGTH), attrs.evolve(usual, priority=True))
        for request in (usual, *several):
            memory, layout = self.make(), layout_of(PLAIN, request, ROWS)
            if is_built(memory, layout):
                self._expect_appended(memory, layout)

    def _expect_appended(self, memory: Any, layout: Layout) -> None:
        def drawn() -> None:
            batch = memory.sample(around.seed())
            if layout.request.priority:
                memory.update_priorities(batch.place, tf.ones(batch.reward.shape[:1]))

        # Few rows, none, more than there is room for, and what changes earlier ones.
        appended = AppendedRows(memory)
        for count in (ROWS, 2 * ROWS, 5000, ROWS, 9000, ROWS):
            add(memory, numbered(layout, count, count))
            appended.check()
            for change in (drawn, lambda: memory.cut(tf.range(ROWS, dtype=tf.int64))):
                change()
                appended.check()
        for _ in add_ragged_turns(memory, layout):
            appended.check()

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
            add(memory, numbered(layout, ROWS, begin))
        return memory, layout

    def _expect_compiled(self, mode: str) -> None:
        (eager, layout), (other, _) = self._filled(PLAIN, 16), self._filled(PLAIN, 16)
        turns = [numbered(layout, ROWS, begin) for begin in (16, 20)]
        for turn in turns:
            add(eager, turn)
        got = compiled_batch(other, turns, lambda function: execution.compiled(function, mode))
        want = eager.sample(around.seed())
        one, two = (attrs.evolve(batch, weight=weight_of(batch)) for batch in (want, got))
        expect_same(one, two, f"the same batch eagerly and by {mode}")
