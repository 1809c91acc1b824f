"""Observations that are stacks of frames, each frame stored once."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.checks.values import range_of
from agentlab.memory import Layout
from agentlab.spec import Array, EnvironmentSpec, describe, is_array
from agentlab.system.ranges import COUNT, Range
from agentlab.tensors.execution import repeat
from agentlab.types import Step, Tensor
from agentlab_memories.observations import Observations
from agentlab_memories.slots import rings

CHANNELS = (1, 3, 4)  # what images [height, width, channels] end with
SPARE = 20  # one frame more per so many transitions: episodes begin and end with frames of their own


class Frames(Observations):
    """Stores each frame once, and for every transition the numbers of the frames in its two stacks `[k, *frame]`.

    What was acted on is, while an episode lasts, what the action before led to, and that is mostly what was acted on then,
    moved up by one frame: usually one frame of 2 k is new. Which ones are is decided by their content, not by what the
    environment says of its episodes, so that whatever comes is read back bit for bit. Where frames rarely recur, they are
    overwritten sooner, and the transitions that need them are no longer handed out.

    Args:
        layout: of the steps.
        capacity: steps stored, if their frames are.

    Raises:
        UsageError: observations are no stacks of frames.
    """

    sheds_early = True

    def __init__(self, layout: Layout, capacity: int) -> None:
        num_environments = layout.num_environments
        stack = _stack_of(layout.spec)

        # A stack is [depth, *frame].
        self._capacity = capacity
        self._range = range_of(stack)
        self._depth, *frame = stack.shape
        self._num_frames = _num_frames(stack, capacity, num_environments)
        self._window = 2 * (self._depth + 1) * num_environments  # transitions farther apart need frames in their own order

        # Frames are stored once, [num_frames, *frame]; a transition is the numbers of its 2 * depth frames.
        self._frames = rings(self._num_frames, tf.TensorSpec(frame, stack.dtype))
        self._numbers = rings(capacity, tf.TensorSpec([2 * self._depth], tf.int64))
        self._newest = tf.Variable(-tf.ones([num_environments, self._depth], tf.int64), trainable=False, name="newest_frames")
        self._stored = tf.Variable(0, dtype=tf.int64, name="frames_stored")
        self._begin = tf.Variable(0, dtype=tf.int64, name="frames_begin")

    def put(self, numbers: Tensor, step: Step, row: Tensor) -> None:
        # [N, 2 * depth, *frame]: what was acted on, then what that led to.
        stacks = tf.concat([step.observation, step.next_observation], axis=1)

        def put_one(index: Tensor) -> Tensor:
            self._put_one(numbers[index], stacks[index], row[index])
            return index + 1

        # One after the other: which frames are known depends on the transition before.
        count = tf.shape(row, out_type=tf.int64)[0]
        repeat(put_one, tf.constant(0, tf.int64), count)
        self._retire(tf.reduce_max(tf.concat([numbers + 1, [0]], axis=0)))

    def _put_one(self, number: Tensor, frames: Tensor, row: Tensor) -> None:
        """Keeps one transition, `frames` being the stack that was acted on and the one that this led to, `[2 k, *frame]`."""
        depth, stored, before = self._depth, self._stored.read_value(), tf.gather(self._newest, row)

        # Which frames of the first stack the environment's newest stack already holds, [depth] bool.
        held = (before >= 0) & (before >= stored + 2 * depth - self._num_frames)  # and not overwritten here
        known = self._same(frames[:depth], tf.gather(self._frames, tf.maximum(before, 0) % self._num_frames)) & held

        # Whether the second stack is the first one moved on by one frame, [depth - 1] bool.
        moved = self._same(frames[depth:-1], frames[1:depth])
        repeated = self._same(frames[1:depth], frames[: depth - 1])
        # Of frames that are alike, as where an episode begins, only the first is stored: it is as new as the others.
        repeated &= ~known[1:] & ~known[:-1]
        is_new = ~tf.concat([known[:1], known[1:] | repeated, moved, [False]], axis=0)

        # Frame numbers [depth] of both stacks: old ones where the frame is stored, the next free ones elsewhere.
        fresh = stored + tf.cumsum(tf.cast(is_new, tf.int64), axis=0) - 1
        first = tf.where(known, before, fresh[:depth])  # a repeated frame has the number of the last new one
        second = tf.concat([tf.where(moved, first[1:], fresh[depth:-1]), fresh[-1:]], axis=0)
        stacked = tf.concat([first, second], axis=0)

        self._frames.scatter_update(tf.IndexedSlices(frames, stacked % self._num_frames))  # what is there already is the same
        self._numbers.scatter_update(tf.IndexedSlices(stacked[None], number[None] % self._capacity))
        self._newest.scatter_update(tf.IndexedSlices(second[None], row[None]))
        self._stored.assign(fresh[-1] + 1)

    def _same(self, one: Tensor, other: Tensor) -> Tensor:
        """Returns `[n]` bool, which of n frames are equal."""
        return tf.reduce_all(tf.equal(one, other), axis=list(range(1, len(one.shape))))

    def _retire(self, added: Tensor) -> None:
        """Moves the first transition that is whole past all whose frames were overwritten, `added` having been put."""
        # Frames with numbers below this were overwritten.
        oldest = self._stored.read_value() - self._num_frames

        def is_lost(begin: Tensor) -> Tensor:
            """Returns which of the numbers from `begin` on, as many as the window, have lost a frame."""
            ahead = begin + tf.range(self._window, dtype=tf.int64)
            needed = tf.reduce_min(tf.gather(self._numbers, ahead % self._capacity), axis=1)
            return (needed < oldest) & (ahead < added)

        def past(begin: Tensor) -> Tensor:
            """Returns the number after the last of those."""
            ahead = begin + tf.range(self._window, dtype=tf.int64)
            return (tf.reduce_max(tf.where(is_lost(begin), ahead + 1, begin)),)

        # A window at a time, until no transition in it has lost a frame.
        (begin,) = tf.while_loop(lambda begin: tf.reduce_any(is_lost(begin)), past, (self.begin(added),))
        self._begin.assign(begin)

    def begin(self, added: Tensor) -> Tensor:
        return tf.maximum(self._begin.read_value(), added - self._capacity)

    def observation(self, slots: Tensor) -> Tensor:
        return self._stack(tf.gather(self._numbers, slots)[:, : self._depth])

    def next_observation(self, slots: Tensor) -> Tensor:
        return self._stack(tf.gather(self._numbers, slots)[:, self._depth :])

    def _stack(self, numbers: Tensor) -> Tensor:
        return tf.gather(self._frames, numbers % self._num_frames)

    def ranges(self) -> dict[str, Range]:
        numbers = {"numbers": Range(0, "stored"), "newest": Range(-1, "stored")}
        return {"frames": self._range, **numbers, "stored": COUNT}

    def limits(self, added: str) -> dict[str, Range]:
        return {"begin": Range(0, added)}

    def appended(self, added: int) -> dict[str, int]:
        return {"frames": int(self._stored.numpy()), "numbers": added}

    @staticmethod
    def num_bytes(layout: Layout, capacity: int) -> int:
        stack = _stack_of(layout.spec)
        frame = math.prod(stack.shape[1:]) * np.dtype(stack.dtype).itemsize
        return _num_frames(stack, capacity, layout.num_environments) * frame + capacity * 2 * stack.shape[0] * 8


def _num_frames(stack: Array, capacity: int, num_environments: int) -> int:
    """Returns how many frames are kept for so many transitions."""
    return capacity + capacity // SPARE + 2 * stack.shape[0] * num_environments


def _stack_of(spec: EnvironmentSpec) -> Array:
    """Returns the space of observations that are stacks of frames.

    Raises:
        UsageError: they are not.
    """
    space = spec.observation
    if is_array(space) and len(space.shape) >= 2 and space.dtype == "uint8":
        is_image = len(space.shape) == 3 and space.shape[-1] in CHANNELS and space.shape[0] > space.shape[-1]
        if not is_image:
            return space
    raise errors.UsageError(
        f"Frame replay stores stacks of frames [frames, height, width] of uint8; environment {spec.name!r} shows a "
        f"{describe(space)}. Choose memory.observations='whole', or preprocess the frames."
    )
