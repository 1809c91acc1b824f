"""The lines of the Memory contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Memory
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.draws import kinds_of_draws
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.untouched import untouched
from agentlab.testing.checks.violation import expect, expect_in_range, expect_same, is_same, leaves, shape_and_dtype
from agentlab.types import Horizon, Transition

PLAIN = EnvironmentSpec("plain", Array((3,)), Discrete(5))
SUPERVISED = EnvironmentSpec("supervised", Array((2, 2)), Discrete(5), target=Discrete(5))
OWN = {"weight": "float32", "slot": "int64"}  # what a memory may add to a batch
ROWS = 4


class LatestTests(Suite):
    """Tests of a memory that keeps nothing beyond the present, derived from `Latest`."""

    kind: ClassVar[str] = "memory"


class MemoryTests(Suite):
    """Tests of what keeps transitions; derive, and name your class as `part`."""

    kind: ClassVar[str] = "memory"

    def test_batches(self) -> None:
        """A batch is a Transition `[N, ...]` in the shapes and dtypes of what was stored, target included."""
        for spec in (PLAIN, SUPERVISED):
            memory = self._filled(spec, 16)
            batch, stored = memory.sample(around.seed()), around.numbered(spec, 1)
            expect(isinstance(batch, Transition), "an agentlab.Transition", repr(batch)[:80])
            rows = tf.shape(batch.reward)[0]
            one, other = leaves(stored), leaves(batch)
            own = {name: other.pop(name) for name in OWN if name in other}
            expect(one.keys() == other.keys(), f"the leaves {sorted(one)}", sorted(other))
            for name, value in other.items():
                like = one[name]
                kept = value.dtype == like.dtype and value.shape == (rows, *like.shape[1:])
                expect(kept, f"{name} in {like.dtype} of shape ({rows}, {str(like.shape[1:])[1:]}", shape_and_dtype(value))
            for name, value in own.items():
                number = value.shape == (rows,) and value.dtype == OWN[name]
                expect(number, f"{name} in {OWN[name]} of shape ({rows},)", shape_and_dtype(value))

    def test_what_was_stored(self) -> None:
        """What it hands out was stored, whole: from the first transition on, and when more came than it can keep."""
        memory = self.make()
        memory.build(PLAIN, ROWS, Horizon())
        begin = 1
        for count in (1, 2, 3, 5000, 9000):
            _add(memory, around.numbered(PLAIN, count, begin))
            begin += count
            for step in range(3):
                _expect_stored(memory.sample(around.seed(step)), begin)

    def test_keeps_its_hands_off(self) -> None:
        """What it was given may be changed afterwards, and a batch that it handed out stays as it was."""
        memory = self.make()
        memory.build(PLAIN, ROWS, Horizon())
        arrays = leaves(around.numbered(PLAIN, 8, 1))
        inlets = {name: execution.Inlet() for name in arrays}
        _add(memory, Transition(**{name: inlet.tensor(arrays[name]) for name, inlet in inlets.items()}))
        for name, inlet in inlets.items():
            inlet.tensor(-arrays[name])  # in the same memory
        batch = memory.sample(around.seed())
        _expect_stored(batch, 9)
        before = {name: value.copy() for name, value in leaves(batch).items()}
        _add(memory, around.numbered(PLAIN, 9000, 9))
        expect_same(leaves(batch), before, "a batch that stays as it was when more is stored")

    def test_ragged_turns(self) -> None:
        """In a turn some environments, or all, may add nothing; what it hands out of the others is what they went through."""
        if self.make().on_policy:
            self.not_applicable("it sums up rewards in a way of its own")
            return
        for horizon in (Horizon(), Horizon(3, 0.5)):
            memory = self.make()
            try:
                memory.build(PLAIN, ROWS, horizon)
            except errors.UsageError:
                continue  # it hands out single steps only, or none
            for turn, numbers in enumerate(_ragged_turns(memory)):
                _expect_sums(memory.sample(around.seed(turn)), numbers, horizon)

    def test_learned(self) -> None:
        """It takes in the metrics of an update, an `error` for every row among them, and hands out what was stored."""
        memory = self._filled(PLAIN, 16)
        for step in range(3):
            batch = memory.sample(around.seed(step))
            memory.learned(batch, {"loss": tf.constant(1.0), "error": tf.cast(batch.action, tf.float32)})
            _expect_stored(memory.sample(around.seed(step)), 16, begin=0)

    def test_several_steps(self) -> None:
        """Asked for three steps in one, it sums up three rewards of one environment; or it refuses when it is built."""
        memory = self._of_three_steps()
        if memory is None:
            return
        self._go_on(memory, 0, 64)
        batch = memory.sample(around.seed())
        number = np.asarray(batch.observation)[:, 0]
        reward = number + 0.5 * (number + ROWS) + 0.25 * (number + 2 * ROWS)
        expect_same(batch.reward, reward, "the reward of three steps, each counting half of the one before")
        expect_same(batch.discount, np.full_like(number, 0.25), "the discount of three steps")
        expect_same(np.asarray(batch.next_observation)[:, 0], number + 2 * ROWS + 0.5, "what the last of three steps led to")

    def test_given_up(self) -> None:
        """Of several steps, none is counted beyond one after which the episode was given up."""
        memory = self._of_three_steps()
        if memory is None:
            self.not_applicable("it hands out single steps only")
            return
        self._go_on(memory, 0, 16)
        memory.cut(tf.range(ROWS, dtype=tf.int64))
        self._go_on(memory, 16, 32)
        for step in range(8):
            batch = memory.sample(around.seed(step))
            number = np.asarray(batch.observation)[:, 0]
            end = np.where(number < 16, 16, 32)
            reward = sum(0.5**k * np.where(number + k * ROWS < end, number + k * ROWS, 0) for k in range(3))
            expect_same(batch.reward, np.float32(reward), "rewards of one episode, given up or not")

    def test_seed(self) -> None:
        """A batch is a function of what is stored and the seed."""
        memory = self._filled(PLAIN, 16)
        _add(memory, around.numbered(PLAIN, 2_000, 16))  # more than a batch, of which it may take some from everywhere
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
        one, other = self._filled(PLAIN, 64), self._filled(PLAIN, 8)
        kept = {name: type(value).__name__ for name, value in one.variables().items() if not isinstance(value, tf.Variable)}
        expect(not kept, "tf.Variables by name", kept)
        expect(one.variables().keys() == other.variables().keys(), "the same names in every process", "others")
        for name, count in one.written_rows().items():
            expect(name in one.variables(), "written_rows() of variables()", name)
            rest = one.variables()[name][count:].numpy()
            expect(not rest.any(), f"zeros in {name} after its {count} written rows", rest)
        expect_in_range(one.ranges(), one.variables())
        for name, variable in other.variables().items():
            variable.assign(one.variables()[name])
        for step in range(3):
            if step:
                for memory in (one, other):
                    _add(memory, around.numbered(PLAIN, ROWS, 100 * step))
            expected = "the same batches from a memory restored by its variables()"
            expect_same(one.sample(around.seed(step)), other.sample(around.seed(step)), expected)

    def test_keeping_touches_nothing(self) -> None:
        """Keeping and handing out leave random states and other global state alone."""
        with untouched("adding and sampling"):
            self._filled(PLAIN, 16).sample(around.seed())

    def _of_three_steps(self) -> Any:
        """Returns a memory of transitions of three steps, each counting half of the one before; None if it refuses."""
        memory = self.make()
        try:
            memory.build(PLAIN, ROWS, Horizon(3, 0.5))
        except errors.UsageError:
            return None
        return memory

    def _go_on(self, memory: Any, begin: int, end: int) -> None:
        """Adds numbered transitions of episodes that do not end."""
        for number in range(begin, end, ROWS):
            _add(memory, attrs.evolve(around.numbered(PLAIN, ROWS, number), discount=tf.ones([ROWS])), ends=False)

    def _filled(self, spec: EnvironmentSpec, count: int) -> Any:
        memory = self.make()
        memory.build(spec, ROWS, Horizon())
        for begin in range(0, count, ROWS):
            _add(memory, around.numbered(spec, ROWS, begin))
        return memory

    def _expect_compiled(self, mode: str) -> None:
        eager, other = self._filled(PLAIN, 16), self._filled(PLAIN, 16)
        add = execution.compiled(lambda more: _add(other, more), mode)
        sample = execution.compiled(other.sample, mode)
        for begin in (16, 20):
            more = around.numbered(PLAIN, ROWS, begin)
            _add(eager, more)
            add(more)
        expect_same(eager.sample(around.seed()), sample(around.seed()), f"the same batch eagerly and by {mode}")


def _add(memory: Memory, transition: Transition, ends: bool = True) -> None:
    """Adds transitions of so many environments in turn, each of which ends its episode or none."""
    count = tf.shape(transition.reward, out_type=tf.int64)[0]
    memory.add(transition, tf.fill([count], ends), tf.range(count) % ROWS)


def _expect_stored(batch: Transition, end: int, begin: int = 1) -> None:
    """Raises a Violation unless every row of a batch is one of the numbered transitions from `begin` to `end - 1`."""
    numbers = np.asarray(batch.reward)
    kept = len(numbers) > 0 and numbers.min() >= begin and numbers.max() < end
    expect(kept, f"transitions that were stored, rewards from {begin} to {end - 1}", f"rewards {numbers[:4]}")
    every = around.numbered(PLAIN, end)
    for name in ("observation", "action", "next_observation", "discount"):
        stored = np.asarray(getattr(every, name))[numbers.astype(int)]
        expect_same(getattr(batch, name), stored, f"the {name} of the transition that the reward belongs to")


def _ragged_turns(memory: Memory) -> Iterator[list[list[int]]]:
    """Adds turns of the rows that acted in each; yields, after each turn, the numbers of every row's transitions so far."""
    turns = [(0, 1, 2, 3), (1, 3), (), (0, 2, 3), (2,), (0, 1, 2, 3), (3, 1), (0,), (0, 1, 2, 3), (0, 1, 2, 3)]
    numbers: list[list[int]] = [[] for _ in range(ROWS)]
    begin = 1
    for rows in turns:
        count = len(rows)
        transition = attrs.evolve(around.numbered(PLAIN, count, begin), discount=tf.ones([count]))
        memory.add(transition, tf.zeros([count], tf.bool), tf.constant(rows, tf.int64))
        for row in rows:
            numbers[row].append(begin)
            begin += 1
        yield numbers


def _expect_sums(batch: Transition, numbers: list[list[int]], horizon: Horizon) -> None:
    """Raises a Violation unless each transition of a batch is of one row of those numbered, summed up to where it is known."""
    following = {number: row[index:] for row in numbers for index, number in enumerate(row)}
    for number, action, reward, last in zip(
        *(np.asarray(leaf) for leaf in (batch.observation[:, 0], batch.action, batch.reward, batch.next_observation[:, 0])),
        strict=True,
    ):
        expect(int(number) in following, "observations that were stored", number)
        steps = following[int(number)][: horizon.num_steps]
        total = sum(horizon.discount**index * step for index, step in enumerate(steps))
        expect(action == number % 5, f"action {number % 5} with observation {number}", action)
        expect(np.isclose(reward, total), f"a reward of {total} from transition {number} on, of its own row", reward)
        expect(last == steps[-1] + 0.5, f"{steps[-1] + 0.5} to be what transition {number} led to, in its own row", last)
