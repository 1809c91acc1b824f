"""Numbered steps to fill memories with, and expectations of the batches that memories return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.memory import Layout, Memory
from agentlab.system.array_rows import appended_slots
from agentlab.testing.checks import around
from agentlab.testing.checks.layouts import LENGTH, numbered, rows_of, steps_of, weight_of
from agentlab.testing.checks.violation import expect, expect_same, leaves, shape_and_dtype
from agentlab.types import Batch, Nest, Step

LEAVES = ("observation", "action", "reward", "discount", "next_observation", "ended", "acted", "target", "output", "state")
ROWS = 4


class AppendedRows:
    """Compares what a memory's `appended_rows` says with what has changed in its variables.

    Args:
        memory: built.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._counts, self._held = self._state()

    def _state(self) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        counts, variables = self._memory.appended_rows(), self._memory.variables()
        unknown = sorted(counts.keys() - variables.keys())
        expect(not unknown, "appended_rows() of variables()", unknown)
        flat = sorted(name for name in counts if not variables[name].shape.rank)
        expect(not flat, "appended_rows() of variables that have rows", flat)
        return counts, {name: variables[name].numpy() for name in counts}

    def check(self) -> None:
        """Expects that only the rows that were appended since the last call have changed; the others are zeros."""
        counts, held = self._state()
        expect(counts.keys() == self._counts.keys(), f"appended_rows() of {sorted(self._counts)} as before", sorted(counts))
        for name, count in counts.items():
            rows, before = held[name], self._counts[name]
            expect(type(count) is int and count >= before, f"appended_rows() of {name} that only grow from {before}", count)

            # [rows] bool, where bytes differ; NaN is no other number than NaN.
            pairs = (part.reshape(len(rows), -1).view(np.uint8) for part in (rows, self._held[name]))
            changed = np.any(np.not_equal(*pairs), axis=1)
            for slots in appended_slots(len(rows), before, count):
                changed[slots.start : slots.stop] = False
            places = np.flatnonzero(changed)[:5].tolist()
            expect(not places, f"no change in rows of {name} but those that appended_rows() counts", f"rows {places}")
            expect(not rows[count:].any(), f"zeros in {name} after the {count} rows that were appended", rows[count:])
        self._counts, self._held = counts, held


def compiled_batch(memory: Memory, turns: list[Step], compiled: Callable[[Any], Any]) -> Batch:
    """Adds turns and returns a batch, by compiled calls; by one for both where nothing is kept beyond it."""

    def add_and_sample(step: Step) -> Batch:
        add(memory, step)
        return memory.sample(around.seed())

    # A memory that keeps nothing beyond a call has to be filled and read in the same one.
    *before, last = turns
    if memory.records_acting:
        return compiled(add_and_sample)(last)
    compiled_add = compiled(lambda step: add(memory, step))
    for step in (*before, last):
        compiled_add(step)
    return compiled(memory.sample)(around.seed())


def add(memory: Memory, step: Step) -> None:
    """Adds steps of the environments in turn."""
    count = tf.shape(step.reward, out_type=tf.int64)[0]
    memory.add(step, tf.range(count) % ROWS)


def add_unended(memory: Memory, layout: Layout, begin: int, end: int) -> None:
    """Adds numbered transitions of episodes that do not end."""
    for number in range(begin, end, ROWS):
        add(memory, going_on(numbered(layout, ROWS, number)))


def going_on(step: Step) -> Step:
    """Returns the steps of a turn as ones of episodes that go on."""
    return attrs.evolve(step, discount=tf.ones([ROWS]), ended=tf.zeros([ROWS], tf.bool))


def expect_early(memory: Memory, step: Step) -> None:
    """Adds a turn of episodes that go on; raises a Violation if a batch that was known before turns out to be another."""
    early = {number: memory.sample_early(around.seed(number), ROWS) for number in range(2)}
    add(memory, going_on(step))
    for number, (batch, is_known) in early.items():
        if is_known:
            expect_same(leaves(batch), leaves(memory.sample(around.seed(number))), "the batch that was sampled early")


def first_row_only(step: Step) -> Step:
    """Returns a turn in which only the first environment acted."""
    return attrs.evolve(step, acted=tf.range(ROWS) == 0)


def is_end(turn: int) -> bool:
    """Whether the episodes of all environments end with this turn: with every third one."""
    return turn % 3 == 2


def expect_leaves(batch: Batch, layout: Layout, axes: tuple[int, ...]) -> None:
    """Raises a Violation unless the leaves of a batch are those of a step in shape and dtype, after the batch's `axes`."""
    one, other = (leaves({name: getattr(value, name) for name in LEAVES}) for value in (numbered(layout, 1), batch))
    expect(one.keys() == other.keys(), f"the leaves {sorted(one)}", sorted(other))
    for name, value in other.items():
        like = one[name]
        shape = (*axes, *like.shape[1:])
        fits = value.dtype == like.dtype and value.shape == shape
        expect(fits, f"{name} in {like.dtype} of shape {shape}", shape_and_dtype(value))


def expect_weights_and_places(batch: Batch, axes: tuple[int, ...]) -> None:
    """Raises a Violation unless weights and places are of the batch's rows."""
    if not isinstance(batch.weight, tuple):
        fits = batch.weight.dtype == tf.float32 and tuple(batch.weight.shape) in (axes[:1], axes)
        expect(fits, f"weight in float32 of shape {axes[:1]} or {axes}", shape_and_dtype(batch.weight))
    for name, value in leaves(batch.place).items():
        expect(value.shape[:1] == axes[:1], f"place{name and ' '}{name} of {axes[0]} rows", shape_and_dtype(value))


def expect_stored(batch: Batch, layout: Layout, end: int, begin: int = 1) -> None:
    """Raises a Violation unless every row that counts is one of the numbered transitions from `begin` to `end - 1`."""
    rows = rows_of(batch, layout)
    numbers = rows.reward
    in_range = len(numbers) > 0 and numbers.min() >= begin and numbers.max() < end
    expect(in_range, f"transitions that were stored, rewards from {begin} to {end - 1}", f"rewards {numbers[:4]}")
    stored = steps_of(layout, numbers.astype(int))
    for name in ("observation", "action", "next_observation", "discount", "target", "output", "state"):
        expect_same(getattr(rows, name), getattr(stored, name), f"the {name} of the transition that the reward belongs to")


def expect_in_order(batch: Batch) -> None:
    """Raises a Violation unless sequences are of consecutive steps of one environment, with what they led to and their ends."""
    number = np.asarray(batch.observation)[..., 0]
    expect_same(number, number[:, :1] + ROWS * np.arange(LENGTH, dtype=np.float32), "consecutive steps of one environment")
    expect_same(np.asarray(batch.reward), number, "the rewards of those steps")
    expect_same(np.asarray(batch.next_observation)[..., 0], number + 0.5, "what each of those steps led to")
    ended = np.vectorize(is_end)(number.astype(int) // ROWS)
    expect_same(np.asarray(batch.ended), ended, "the ends of episodes where they were")


def add_ragged_turns(memory: Memory, layout: Layout) -> Iterator[list[list[int]]]:
    """Adds turns of the rows that acted in each; yields, after each turn, the numbers of every row's transitions so far."""
    # The rows that act in each turn: all, some, none, one alone, and in another order.
    turns = [(0, 1, 2, 3), (1, 3), (), (0, 2, 3), (2,), (0, 1, 2, 3), (3, 1), (0,), (0, 1, 2, 3), (0, 1, 2, 3)]
    numbers: list[list[int]] = [[] for _ in range(ROWS)]
    begin = 1
    for rows in turns:
        current = np.full(ROWS, -1)
        for row in rows:
            current[row] = begin
            numbers[row].append(begin)
            begin += 1

        # [ROWS] where a number is the row's transition, -1 where it didn't act.
        acted = tf.constant(current > 0)
        memory.add(
            attrs.evolve(steps_of(layout, current), discount=tf.ones([ROWS]), ended=~acted, acted=acted),
            tf.range(ROWS, dtype=tf.int64),
        )
        yield numbers


def expect_weightless(batch: Batch) -> None:
    """Raises a Violation unless what is no transition weighs nothing."""
    weight, acted = np.asarray(weight_of(batch)), np.asarray(batch.acted)
    counted = (weight.reshape(*weight.shape, *[1] * (acted.ndim - weight.ndim)) > 0.0) & ~acted
    expect(not counted.any(), "rows that are no transition (`acted` False) to weigh nothing", f"a weight of {weight.max():g}")


def expect_sums(batch: Batch, numbers: list[list[int]], layout: Layout) -> None:
    """Raises a Violation unless each row that counts is of one environment, summed up to where it is known."""
    # [index:] the numbers of the same row from each transition on.
    following = {number: row[index:] for row in numbers for index, number in enumerate(row)}
    rows, request = rows_of(batch, layout), layout.request
    columns: list[Nest] = [rows.observation[:, 0], rows.action, rows.reward, rows.next_observation[:, 0]]
    for number, action, reward, last in zip(*columns, strict=True):
        expect(int(number) in following, "observations that were stored", number)
        steps = following[int(number)][: request.num_steps]
        total = sum(request.discount**index * step for index, step in enumerate(steps))
        expect(action == number % 5, f"action {number % 5} with observation {number}", action)
        expect(np.isclose(reward, total), f"a reward of {total} from transition {number} on, of its own row", reward)
        expect(last == steps[-1] + 0.5, f"{steps[-1] + 0.5} to be what transition {number} led to, in its own row", last)
