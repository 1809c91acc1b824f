"""The last transitions of one step in a ring of tf.Variables, and those of several steps that they make up."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.checks.ranges import COUNT, FINITE, Range
from agentlab.checks.values import range_of, without_least
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.free_memory import check_free
from agentlab.types import Horizon, Transition


def ring(capacity: int, shape: tuple[int, ...], dtype: str, name: str) -> tf.Variable:
    """Returns a variable `[capacity, *shape]` of zeros."""
    return tf.Variable(tf.zeros([capacity, *shape], dtype), trainable=False, name=name)


class Observations(abc.ABC):
    """How a ring keeps what was acted on and what that led to.

    Attributes:
        sheds_early: whether transitions can be lost before the ring overwrites them.
    """

    sheds_early: ClassVar[bool] = False

    @abc.abstractmethod
    def __init__(self, spec: EnvironmentSpec, capacity: int, num_environments: int) -> None:
        """Allocates the storage for `capacity` transitions of so many environments like `spec`."""

    @staticmethod
    @abc.abstractmethod
    def num_bytes(spec: EnvironmentSpec, capacity: int, num_environments: int) -> int:
        """Returns how many bytes that takes."""

    @abc.abstractmethod
    def put(self, numbers: Any, transition: Transition, row: Any) -> None:
        """Keeps the observations of N transitions counted by `numbers` `[N]` int64, of the environments `row` `[N]` int64."""

    @abc.abstractmethod
    def begin(self, added: Any) -> Any:
        """Returns the first number (int64 scalar) from which on all are kept whole, `added` of them having been put."""

    @abc.abstractmethod
    def observation(self, slots: Any) -> Any:
        """Returns what was acted on `[N, *O]` in the transitions that are kept in `slots` `[N]`."""

    @abc.abstractmethod
    def next_observation(self, slots: Any) -> Any:
        """Returns what those actions led to `[N, *O]`."""

    @abc.abstractmethod
    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables of the storage by name."""

    @abc.abstractmethod
    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be; the ring's own are "added", the transitions that were put."""

    @abc.abstractmethod
    def written_rows(self, stored: int) -> dict[str, int]:
        """Returns how many rows have been written, `stored` transitions being kept; see `agentlab.memory.Memory`."""


class Whole(Observations):
    """Keeps every observation as it is, twice: once as what was acted on, once as what an action led to."""

    def __init__(self, spec: EnvironmentSpec, capacity: int, num_environments: int) -> None:
        self._capacity = capacity
        self._range = range_of(spec.observation)
        shown, names = spec.observation, ("observation", "next_observation")
        self._rings = {name: ring(capacity, shown.shape, shown.dtype, name) for name in names}

    @staticmethod
    def num_bytes(spec: EnvironmentSpec, capacity: int, num_environments: int) -> int:
        return 2 * capacity * math.prod(spec.observation.shape) * np.dtype(spec.observation.dtype).itemsize

    def put(self, numbers: Any, transition: Transition, row: Any) -> None:
        for name, kept in self._rings.items():
            kept.scatter_update(tf.IndexedSlices(getattr(transition, name), numbers % self._capacity))

    def begin(self, added: Any) -> Any:
        return tf.maximum(added - self._capacity, 0)

    def observation(self, slots: Any) -> Any:
        return tf.gather(self._rings["observation"], slots)

    def next_observation(self, slots: Any) -> Any:
        return tf.gather(self._rings["next_observation"], slots)

    def variables(self) -> dict[str, Any]:
        return dict(self._rings)

    def ranges(self) -> dict[str, Range]:
        return dict.fromkeys(self._rings, self._range)

    def written_rows(self, stored: int) -> dict[str, int]:
        return dict.fromkeys(self._rings, stored)


class Ring:
    """Keeps the last `capacity` transitions of one step, and reads transitions of n steps from them.

    Transitions are counted in the order in which they happened; number i lies in slot i modulo `capacity`. Each points to the
    one that followed in its environment, along which the rewards of n steps are summed up (Sutton 1988,
    doi:10.1007/BF00115009): up to where the episode ended, bootstrapping from what the last action led to.

    Args:
        spec: of the environments.
        capacity: transitions kept; the oldest is overwritten.
        num_environments: B.
        horizon: n, and the discount factor.
        kind: of the storage of observations.
        beside: bytes that the memory takes besides this.

    Raises:
        UsageError: there is no room for n steps of every environment, or no memory for all of it.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        capacity: int,
        num_environments: int,
        horizon: Horizon,
        kind: type[Observations],
        beside: int = 0,
    ) -> None:
        def of(space: Array | Discrete, name: str) -> tf.Variable:
            return ring(capacity, space.shape, space.dtype, name)

        if horizon.num_steps > 1 and capacity <= horizon.num_steps * num_environments:
            raise errors.UsageError(
                f"A replay of {capacity:,} transitions can't hold {horizon.num_steps} steps of {num_environments} environments "
                f"each; expected a capacity greater than {horizon.num_steps * num_environments:,}. Set memory.capacity so."
            )
        needed = kind.num_bytes(spec, capacity, num_environments) + capacity * _other_bytes(spec, horizon) + beside
        check_free(needed, f"A replay of {capacity:,} transitions", "memory.capacity")
        self.capacity = capacity
        self.horizon = horizon
        self.newest_left_out = (horizon.num_steps - 1) * num_environments  # their n steps may not be complete
        self.sheds_early = kind.sheds_early
        self._observations = kind(spec, capacity, num_environments)
        self._added = tf.Variable(0, dtype=tf.int64, name="added")
        number = Array(())
        self._rings = {"action": of(spec.action, "action"), "reward": of(number, "reward"), "discount": of(number, "discount")}
        self._ranges = {"action": range_of(spec.action), "reward": FINITE, "discount": Range(0, 1), "added": COUNT}
        if spec.target is not None:
            self._rings["target"] = of(spec.target, "target")
            self._ranges["target"] = range_of(without_least(spec.target))
        self._links: dict[str, tf.Variable] = {}
        if horizon.num_steps > 1:
            self._links = {
                "ended": ring(capacity, (), "bool", "ended"),
                "following": ring(capacity + 1, (), "int64", "following"),  # a slot; the last entry is written in vain
                "newest": tf.Variable(-tf.ones([num_environments], tf.int64), trainable=False, name="newest"),  # numbers
            }

    def added(self) -> Any:
        """Returns how many transitions have been added, int64 scalar."""
        return self._added.read_value()

    def add(self, transition: Transition, ended: Any, row: Any) -> None:
        """Stores N transitions; see `agentlab.memory.Memory.add`."""
        rows = tf.shape(transition.reward, out_type=tf.int64)[0]
        kept = tf.range(tf.maximum(rows - self.capacity, 0), rows)  # of more rows than fit, the last
        transition, ended, row = tf.nest.map_structure(lambda leaf: tf.gather(leaf, kept), (transition, ended, row))
        numbers = self.added() + kept
        slots = numbers % self.capacity
        self._observations.put(numbers, transition, row)
        for name, stored in self._rings.items():
            stored.scatter_update(tf.IndexedSlices(getattr(transition, name), slots))
        if self._links:
            self._links["ended"].scatter_update(tf.IndexedSlices(ended, slots))
            self._link(numbers, row, self.added() + rows - self.capacity)
        self._added.assign_add(rows)

    def _link(self, numbers: Any, row: Any, oldest: Any) -> None:
        """Has the predecessors of the transitions `numbers` point to them, but those before number `oldest`."""
        order = tf.argsort(row, stable=True)
        row, numbers = tf.gather(row, order), tf.gather(numbers, order)
        newest, following = self._links["newest"], self._links["following"]
        known = tf.gather(newest, row)
        in_batch = tf.concat([tf.zeros_like(row[:1], tf.bool), tf.equal(row[1:], row[:-1])], axis=0)
        predecessor = tf.where(in_batch, tf.concat([known[:1], numbers[:-1]], axis=0), known)
        is_kept = predecessor >= tf.maximum(oldest, 0)
        slots = numbers % self.capacity
        following.scatter_update(tf.IndexedSlices(slots, slots))  # to itself: nothing followed yet
        following.scatter_update(tf.IndexedSlices(slots, tf.where(is_kept, predecessor % self.capacity, self.capacity)))
        newest.scatter_max(tf.IndexedSlices(numbers, row))

    def cut(self, row: Any) -> None:
        """Has the newest transitions of the environments `row` end their episodes; see `agentlab.memory.Memory.cut`."""
        if not self._links:
            return
        newest = tf.gather(self._links["newest"], row)
        slots = tf.boolean_mask(newest, newest >= tf.maximum(self.added() - self.capacity, 0)) % self.capacity
        self._links["ended"].scatter_update(tf.IndexedSlices(tf.ones_like(slots, tf.bool), slots))

    def bounds(self) -> tuple[Any, Any]:
        """Returns the numbers `(begin, end)` between which transitions are whole and n steps long, or end with their episode.

        As long as there is none, those that are cut short by the present count.
        """
        begin, end = self._observations.begin(self.added()), self.added() - self.newest_left_out
        return begin, tf.where(end > begin, end, self.added())

    def read(self, slots: Any) -> Transition:
        """Returns the transitions of n steps that begin in `slots` `[N]` int64."""
        reward, last, factor = tf.gather(self._rings["reward"], slots), slots, tf.ones_like(slots, tf.float32)
        for _ in range(self.horizon.num_steps - 1):
            following = tf.gather(self._links["following"], last)
            goes_on = ~tf.gather(self._links["ended"], last) & tf.not_equal(following, last)
            factor = tf.where(goes_on, self.horizon.discount * factor, factor)
            reward += tf.where(goes_on, factor * tf.gather(self._rings["reward"], following), 0.0)
            last = tf.where(goes_on, following, last)
        return Transition(
            observation=self._observations.observation(slots),
            action=tf.gather(self._rings["action"], slots),
            reward=reward,
            discount=factor * tf.gather(self._rings["discount"], last),
            next_observation=self._observations.next_observation(last),
            target=tf.gather(self._rings["target"], slots) if "target" in self._rings else (),
        )

    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables of the storage by name."""
        return {**self._observations.variables(), **self._rings, **self._links, "added": self._added}

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be; see `agentlab.memory.Memory.ranges`."""
        links = {"following": Range(0, self.capacity - 1), "newest": Range(-1, "added")} if self._links else {}
        return {**self._observations.ranges(), **self._ranges, **links}

    def written_rows(self) -> dict[str, int]:
        """Returns how many rows have been written, by variable; see `agentlab.memory.Memory`."""
        stored = min(int(self._added.numpy()), self.capacity)
        names = [*self._rings, *(name for name in self._links if name == "ended")]
        return {**self._observations.written_rows(stored), **dict.fromkeys(names, stored)}


def _other_bytes(spec: EnvironmentSpec, horizon: Horizon) -> int:
    """Returns the bytes of one transition besides its observations."""
    numbers = [spec.action, Array(()), Array(())]  # action, reward, discount
    numbers += [spec.target] if spec.target is not None else []
    links = 1 + 8 if horizon.num_steps > 1 else 0  # whether it ended, and what followed
    return links + sum(math.prod(space.shape) * np.dtype(space.dtype).itemsize for space in numbers)
