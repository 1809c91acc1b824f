"""A ring buffer of steps in tf.Variables, read as transitions of one or several steps, or as sequences."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.memory import Layout, weight_of
from agentlab.system.free_memory import check_free
from agentlab.system.ranges import COUNT, Range
from agentlab.tensors.execution import repeat
from agentlab.tensors.state import variables_of
from agentlab.types import Batch, Step, Tensor
from agentlab_memories.observations import Observations
from agentlab_memories.slots import last_that_acted, num_bytes, put, read, rings

STORED = ("action", "reward", "discount", "target", "output", "state")  # leaves that are stored as they are


class Ring:
    """Stores the last `capacity` steps, and reads transitions of n steps, or sequences of T, from them.

    Steps are counted in the order in which they happened; number i lies in slot i modulo `capacity`. Each points to the
    one that followed in its environment, along which the rewards of n steps are summed up (Sutton 1988,
    doi:10.1007/BF00115009): up to where the episode ended, bootstrapping from what the last action led to.

    Args:
        layout: of the steps.
        capacity: steps stored; the oldest is overwritten.
        kind: of the storage of observations.
        beside: bytes that the memory takes besides this.

    Raises:
        UsageError: the request is not for draws, there is no room for what it asks for, or no memory for all of it.
    """

    def __init__(self, layout: Layout, capacity: int, kind: type[Observations], beside: int = 0) -> None:
        request, rows = layout.request, layout.num_environments
        self.reach = request.num_steps + (request.length or 1) - 1  # steps of one environment that a row of a batch spans
        _check(layout, capacity, self.reach)

        # Leaves that are stored as they are, and the links that sequences and steps of n need.
        signature = layout.step_signature()
        stored = {name: getattr(signature, name) for name in STORED}
        links = {"ended": tf.TensorSpec([], tf.bool), "following": tf.TensorSpec([], tf.int64)} if self.reach > 1 else {}
        size = kind.num_bytes(layout, capacity) + capacity * num_bytes((stored, links)) + beside
        check_free(size, f"A replay of {capacity:,} transitions", "memory.capacity")

        # What the ring hands out, and from when.
        self.capacity = capacity
        self.request = request
        self.newest_left_out = (self.reach - 1) * rows  # what follows them may not have happened yet
        self.sheds_early = kind.sheds_early
        self._observations = kind(layout, capacity)

        # Storage [capacity, ...]; slot = number % capacity.
        self._added = tf.Variable(0, dtype=tf.int64)
        self._step_ranges = layout.step_ranges()
        self._stored = rings(capacity, stored)
        self._is_linked = self.reach > 1
        if self._is_linked:
            self._ended = rings(capacity, links["ended"])
            self._following = rings(capacity + 1, links["following"])  # a slot; the last takes what has no predecessor
            self._newest = tf.Variable(-tf.ones([rows], tf.int64), trainable=False)  # number of each environment's last step

    def added(self) -> Tensor:
        """Returns how many steps have been added, int64 scalar."""
        return self._added.read_value()

    def add(self, step: Step, row: Tensor) -> Tensor:
        """Stores those of N steps that are transitions; returns how many, int64 scalar. See `agentlab.memory.Memory.add`."""
        # Rows that acted, as many as fit.
        count, last = last_that_acted(step.acted, self.capacity)
        step, row = tf.nest.map_structure(lambda leaf: tf.gather(leaf, last), (step, row))
        stored = tf.shape(last, out_type=tf.int64)[0]

        # Each step gets the next number.
        numbers = self.added() + (count - stored) + tf.range(stored)
        slots = numbers % self.capacity
        self._observations.put(numbers, step, row)
        put(self._stored, slots, {name: getattr(step, name) for name in STORED})
        if self._is_linked:
            put(self._ended, slots, step.ended)
            self._link(numbers, row, self.added() + count - self.capacity)
        self._added.assign_add(count)
        return count

    def _link(self, numbers: Tensor, row: Tensor, oldest: Tensor) -> None:
        """Has the predecessors of the steps `numbers` point to them, but those before number `oldest`."""
        # Steps of one environment side by side, in order: [N] by row.
        order = tf.argsort(row, stable=True)
        row, numbers = tf.gather(row, order), tf.gather(numbers, order)
        newest = tf.gather(self._newest, row)

        # The predecessor is the step before in this call, or the environment's newest before it.
        place = tf.range(tf.size(row))
        before = tf.maximum(place - 1, 0)
        in_call = (place > 0) & tf.equal(row, tf.gather(row, before))
        predecessor = tf.where(in_call, tf.gather(numbers, before), newest)
        is_stored = predecessor >= tf.maximum(oldest, 0)

        slots = numbers % self.capacity
        put(self._following, slots, slots)  # to itself: nothing followed yet
        put(self._following, tf.where(is_stored, predecessor % self.capacity, self.capacity), slots)
        self._newest.scatter_max(tf.IndexedSlices(numbers, row))

    def cut(self, row: Tensor) -> None:
        """Has the newest steps of the environments `row` end their episodes; see `agentlab.memory.Memory.cut`."""
        if self._is_linked:
            newest = tf.gather(self._newest, row)
            slots = tf.boolean_mask(newest, newest >= tf.maximum(self.added() - self.capacity, 0)) % self.capacity
            put(self._ended, slots, tf.ones_like(slots, tf.bool))

    def bounds(self, coming: int | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the numbers `(begin, end)` between which steps are whole and have all that follows, or end their episode.

        As long as there are none, those that are cut short by the present count.

        Args:
            coming: steps that count as if they had been added already; not where steps are shed early.
        """
        added = self.added() if coming is None else self.added() + coming
        begin, end = self._observations.begin(added), added - self.newest_left_out
        return begin, tf.where(end > begin, end, added) if self.newest_left_out else added

    def are_whole(self, numbers: Tensor) -> Tensor:
        """Returns whether what begins in the steps `numbers` `[N]` will be the same however the ring goes on, bool scalar.

        If every environment acts in every turn, the step that follows another one is B numbers after it.
        """
        return tf.reduce_all(numbers < self.added() - self.newest_left_out)

    def read(self, slots: Tensor) -> Batch:
        """Returns what begins in `slots` `[N]` int64: `[N, ...]`, or sequences `[N, T, ...]`."""
        if self.request.length is None:
            return self._read_steps(slots)

        slots = self._along(slots, self.request.length)

        # The last step of an environment points to itself, which pads sequences that are still too short.
        repeated = tf.equal(slots[:, 1:], slots[:, :-1])  # of an environment that has gone no further
        acted = tf.concat([tf.ones_like(slots[:, :1], tf.bool), ~repeated], axis=1)

        # Steps of the burn-in are there, but nothing is learned from them.
        learned = np.arange(self.request.length) >= self.request.burn_in
        return attrs.evolve(self._read_steps(slots), acted=acted, weight=weight_of(acted & learned))

    def _along(self, slots: Tensor, length: int) -> Tensor:
        """Returns the slots `[N, T]` of the steps from `slots` `[N]` on, each followed by the environment's next one."""

        def follow(carry: tuple[Tensor, Tensor, tf.TensorArray]) -> tuple[Tensor, Tensor, tf.TensorArray]:
            index, at, along = carry
            return index + 1, tf.gather(self._following, at), along.write(index, at)

        # A loop of the graph: what there is to compile doesn't grow with the length.
        along = tf.TensorArray(slots.dtype, length, element_shape=slots.shape)
        _, _, along = repeat(follow, (tf.constant(0), slots, along), length)
        return tf.transpose(along.stack())

    def _read_steps(self, slots: Tensor) -> Batch:
        """Returns the transitions of n steps that begin in `slots` `[...]`."""
        # The first step, and what the following ones add.
        stored = read({name: self._stored[name] for name in STORED if name != "discount"}, slots)
        reward, last, factor = stored["reward"], slots, tf.constant(1.0)

        # Up to n - 1 steps more, unless the episode ends or nothing followed yet.
        for _ in range(self.request.num_steps - 1):
            following = tf.gather(self._following, last)
            continues = ~tf.gather(self._ended, last) & tf.not_equal(following, last)
            factor = tf.where(continues, self.request.discount * factor, factor)
            reward += tf.where(continues, factor * tf.gather(self._stored["reward"], following), 0.0)
            last = tf.where(continues, following, last)

        # The discount is that of the last one, see `agentlab.types.Batch`.
        return Batch(
            observation=self._observations.observation(slots),
            action=stored["action"],
            reward=reward,
            discount=factor * tf.gather(self._stored["discount"], last),
            next_observation=self._observations.next_observation(last),
            ended=tf.gather(self._ended, last) if self._is_linked else tf.zeros_like(slots, tf.bool),
            acted=tf.ones_like(slots, tf.bool),
            target=stored["target"],
            output=stored["output"],
            state=stored["state"],
        )

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables; see `agentlab.memory.Memory.ranges`."""
        links = {"following": Range(0, self.capacity - 1), "newest": Range(-1, "added")} if self._is_linked else {}
        stored = {f"stored/{name}": span for name, span in self._step_ranges.items() if name.partition("/")[0] in STORED}
        observed = {f"observations/{name}": span for name, span in self._observations.limits("added").items()}
        return {**stored, "added": COUNT, **links, **observed}

    def appended_rows(self) -> dict[str, int]:
        """Returns how many rows have been appended, by variable; see `agentlab.memory.Memory`.

        Ends and links are not among them: those of earlier steps change.
        """
        added = int(self._added.numpy())
        stored = {name: added for name in variables_of(self) if name.startswith("stored/")}
        observed = {f"observations/{name}": count for name, count in self._observations.appended(added).items()}
        return {**stored, **observed}


def _check(layout: Layout, capacity: int, reach: int) -> None:
    """Raises UsageError if a ring can't hand out what a trainer asks for."""
    request, rows = layout.request, layout.num_environments
    if request.order != "any":
        raise errors.UsageError(
            "The trainer learns from everything since its last update, in order; a replay hands out draws. "
            "Set memory.name=rollout."
        )
    if reach > 1 and capacity <= reach * rows:
        raise errors.UsageError(
            f"A replay of {capacity:,} transitions can't hold {reach} steps of {rows} environments each; expected a capacity "
            f"greater than {reach * rows:,}. Set memory.capacity so."
        )
