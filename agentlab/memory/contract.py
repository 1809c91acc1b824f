"""The Memory contract: a memory stores steps in tf.Variables and returns batches of them."""

from __future__ import annotations

import abc
from typing import ClassVar

import tensorflow as tf

from agentlab.memory.layout import Layout
from agentlab.system.ranges import Range
from agentlab.tensors.state import appended_rows_of, ranges_of, variables_of
from agentlab.types import Batch, Nest, Seed, Step, Tensor


class Memory(abc.ABC):
    """Stores steps and returns batches. Settings are constructor arguments; `build` allocates the storage.

    Attributes:
        records_acting: whether the forward pass that acted is the one learned from. Such a memory returns the last turn only.
    """

    records_acting: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, layout: Layout) -> None:
        """Allocates the storage.

        Args:
            layout: what to store, and the trainer's request.

        Raises:
            UsageError: this memory can't serve the request.
        """

    @abc.abstractmethod
    def add(self, step: Step, row: Tensor) -> None:
        """Stores N steps, leaves `[N, ...]`, in the order in which they happened; traceable.

        Rows that aren't transitions (`acted` False) are not returned by `sample`, or returned with a weight of 0.

        Args:
            step: the rows of B environments in one turn, or of several consecutive turns.
            row: `[N]` int64, 0 to B - 1, the environment of each row.
        """

    def cut(self, row: Tensor) -> None:  # noqa: B027 - most connect no steps
        """Marks the running episodes of the environments `row` `[N]` int64 as abandoned: nothing follows their last steps."""

    @abc.abstractmethod
    def sample(self, seed: Seed) -> Batch:
        """Returns a batch as requested; called once at least one step has been stored. Traceable."""

    @property
    def samples_early(self) -> bool:
        """Whether it has a `sample_early`, as built: then updates can be made while environments step; by default False."""
        return False

    def sample_early(self, seed: Seed, coming: int | Tensor) -> tuple[Batch, Tensor]:
        """Returns the batch that `sample` will return once `coming` transitions more are stored, before they are. Traceable.

        Args:
            seed: as of `sample`.
            coming: 1 of each environment; or 0, for what `sample` returns now.

        Returns:
            The batch, and whether it will be that one (bool scalar). It can't be where it holds anything of those transitions:
            then the batch is any other.
        """
        raise NotImplementedError(f"{type(self).__name__} can't sample before steps are stored.")

    def update_priorities(self, place: Nest, priority: Tensor) -> None:  # noqa: B027 - most have none
        """Updates the priorities of a batch's rows; called if the request says `priority`. Traceable.

        Args:
            place: that of the batch.
            priority: `[N]` float32, at least 0.
        """

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every tf.Variable of the storage by name; by default those that its attributes hold."""
        return variables_of(self)

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables, by the names of `variables`.

        A checkpoint with other numbers is refused. By default floating-point numbers are finite, and an attribute that has a
        method `ranges` of its own says more about its variables. Name at least the whole numbers that are used as indices of
        other variables: with an index out of range, TensorFlow ends the program or reads anything.
        """
        return ranges_of(self)

    def appended_rows(self) -> dict[str, int]:
        """Returns how many rows have been appended so far, by name, to variables that are written row after row.

        Row i, counted from 0, lies in row i modulo the length of the first axis, and nothing changes it until another one
        takes its place. A checkpoint copies only those that were appended since the last one; rows that none has reached yet
        are zeros. Variables that are not named are copied whole. By default, attributes that have a method `appended_rows`
        of their own are asked.
        """
        return appended_rows_of(self)
