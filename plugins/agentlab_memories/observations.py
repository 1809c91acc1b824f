"""How a ring stores observations and next observations: the contract, and as they are."""

from __future__ import annotations

import abc
from typing import ClassVar

import tensorflow as tf

from agentlab.memory import Layout
from agentlab.system.ranges import Range
from agentlab.tensors.state import variables_of
from agentlab.types import Nest, Step, Tensor
from agentlab_memories.slots import num_bytes, put, read, rings


class Observations(abc.ABC):
    """How a ring stores observations and next observations.

    Attributes:
        sheds_early: whether steps can be lost before the ring overwrites them.
    """

    sheds_early: ClassVar[bool] = False

    @abc.abstractmethod
    def __init__(self, layout: Layout, capacity: int) -> None:
        """Allocates the storage for `capacity` steps."""

    @staticmethod
    @abc.abstractmethod
    def num_bytes(layout: Layout, capacity: int) -> int:
        """Returns how many bytes that takes."""

    @abc.abstractmethod
    def put(self, numbers: Tensor, step: Step, row: Tensor) -> None:
        """Stores the observations of N steps counted by `numbers` `[N]` int64, of the environments `row` `[N]` int64."""

    @abc.abstractmethod
    def begin(self, added: Tensor) -> Tensor:
        """Returns the first number (int64 scalar) from which on all are stored whole, `added` of them having been put."""

    @abc.abstractmethod
    def observation(self, slots: Tensor) -> Nest:
        """Returns what was acted on in the steps stored in `slots` `[...]`."""

    @abc.abstractmethod
    def next_observation(self, slots: Tensor) -> Nest:
        """Returns what those actions led to."""

    @abc.abstractmethod
    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables; see `agentlab.memory.Memory.ranges`."""

    def limits(self, added: str) -> dict[str, Range]:
        """Returns the ranges of numbers that the ring's variable `added` limits, the steps that were put."""
        return {}

    @abc.abstractmethod
    def appended(self, added: int) -> dict[str, int]:
        """Returns how many rows have been appended to its variables, by `added` steps; see `agentlab.memory.Memory`."""


class Whole(Observations):
    """Stores observations and next observations as they are, so most of them twice."""

    def __init__(self, layout: Layout, capacity: int) -> None:
        self._capacity = capacity
        signature = layout.step_signature()
        self._observation = rings(capacity, signature.observation)
        self._next_observation = rings(capacity, signature.next_observation)
        self._step_ranges = layout.step_ranges()

    @staticmethod
    def num_bytes(layout: Layout, capacity: int) -> int:
        return 2 * capacity * num_bytes(layout.step_signature().observation)

    def put(self, numbers: Tensor, step: Step, row: Tensor) -> None:
        slots = numbers % self._capacity
        put(self._observation, slots, step.observation)
        put(self._next_observation, slots, step.next_observation)

    def begin(self, added: Tensor) -> Tensor:
        return tf.maximum(added - self._capacity, 0)

    def observation(self, slots: Tensor) -> Nest:
        return read(self._observation, slots)

    def next_observation(self, slots: Tensor) -> Nest:
        return read(self._next_observation, slots)

    def ranges(self) -> dict[str, Range]:
        observed = ("observation", "next_observation")
        return {name: span for name, span in self._step_ranges.items() if name.partition("/")[0] in observed}

    def appended(self, added: int) -> dict[str, int]:
        return dict.fromkeys(variables_of(self), added)
