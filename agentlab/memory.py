"""The Memory contract: a memory stores steps in tf.Variables and returns batches of them."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.checks.values import ranges_of as ranges_of_space
from agentlab.spec import EnvironmentSpec, map_space, targets_of
from agentlab.system.ranges import Range
from agentlab.tensors.state import appended_rows_of, ranges_of, variables_of
from agentlab.types import Batch, Nest, Seed, Step, Tensor


@attrs.frozen
class Request:
    """What a trainer learns from.

    Attributes:
        num_steps: n, environment steps that one row of a batch covers; fewer if the episode ends earlier.
        discount: the discount factor of the return that is learned about, 0 to 1. The n rewards of a row are summed up with it,
            and rewards are normalised by the return with it.
        length: T, steps of a sequence; None for single rows without a time axis.
        burn_in: steps at the start of a sequence that only warm up the state of a recurrent model.
        order: "any" for a random sample of what is stored; "all" for everything since the last update, in order, `length`
            steps of every environment.
        keep: which of "output" and "state" of the decision batches contain.
        priority: whether updates return the size of each row's error, for memories that draw rows by it.
    """

    num_steps: int = 1
    discount: float = 1.0
    length: int | None = None
    burn_in: int = 0
    order: Literal["any", "all"] = "any"
    keep: tuple[str, ...] = ()
    priority: bool = False


@attrs.frozen
class UpdateSchedule:
    """When updates are due. Nothing else decides that.

    Attributes:
        period: environment steps between two rounds of updates.
        count: updates per round.
        starts: environment steps before the first round.
    """

    period: int
    count: int = 1
    starts: int = 0

    def due(self, steps: int | Tensor, taken: int) -> Any:
        """Returns how many updates the last `taken` steps, which led to `steps` (int or int64 scalar), have made due."""
        rounds = steps // self.period - (steps - taken) // self.period
        if isinstance(steps, int):
            return rounds * self.count if steps >= self.starts else 0
        return tf.where(steps >= self.starts, rounds * self.count, tf.zeros_like(rounds))

    def total(self, steps: int, taken: int) -> int:
        """Returns the number of updates in a budget of `steps`, in whole turns of `taken` steps: the sum of what is `due`."""
        turns, first = -(-steps // taken), max(1, -(-self.starts // taken))  # in the turns from the first on, rounds count
        before = (first - 1) * taken // self.period
        return (turns * taken // self.period - before) * self.count if turns >= first else 0


@attrs.frozen(eq=False)
class Layout:
    """What a memory has to store and return.

    Attributes:
        spec: of the environments.
        num_environments: B.
        request: of the trainer.
        updates: when updates are due.
        output: the `tf.TensorSpec` of a decision's output, without the batch axis, if the request keeps it; else `()`.
        state: those of the model's state, if the request keeps it; else `()`.
    """

    spec: EnvironmentSpec
    num_environments: int
    request: Request = attrs.field(factory=Request)
    updates: UpdateSchedule = attrs.field(factory=lambda: UpdateSchedule(1))
    output: Nest = ()
    state: Nest = ()

    def step_signature(self) -> Step:
        """Returns the shapes and dtypes of a step's leaves without the batch axis, as `tf.TensorSpec`s."""

        def of(space: Any) -> Nest:
            return () if space is None else map_space(lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), space)

        return Step(
            observation=of(self.spec.observation),
            action=of(self.spec.action),
            reward=tf.TensorSpec([], tf.float32),
            discount=tf.TensorSpec([], tf.float32),
            next_observation=of(self.spec.observation),
            ended=tf.TensorSpec([], tf.bool),
            acted=tf.TensorSpec([], tf.bool),
            target=of(self.spec.target),
            output=self.output,
            state=self.state,
        )

    def step_ranges(self) -> dict[str, Range]:
        """Returns what the numbers of a step's leaves can be, by the names that variables of a step have.

        Of leaves that are not named, such as rewards, all numbers are finite.
        """
        spec = self.spec
        target = {} if spec.target is None else ranges_of_space(targets_of(spec.target), "target")
        observed = {**ranges_of_space(spec.observation, "observation"), **ranges_of_space(spec.observation, "next_observation")}
        return {**observed, **ranges_of_space(spec.action, "action"), "discount": Range(0, 1), **target}

    def num_bytes(self) -> int:
        """Returns the bytes of one stored step."""
        leaves = tf.nest.flatten(self.step_signature())
        return sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.size for leaf in leaves)


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


@attrs.define(slots=False, eq=False)
class Latest(Memory):
    """Returns the last turn, which is learned from by the forward pass that acted."""

    records_acting: ClassVar[bool] = True

    def build(self, layout: Layout) -> None:
        request, updates, rows = layout.request, layout.updates, layout.num_environments
        if (updates.period, updates.count, updates.starts) != (rows, 1, 0):
            raise errors.UsageError(
                f"Memory 'latest' is learned from once a turn, every {rows} steps here; the trainer asks for {updates.count} "
                f"updates every {updates.period} steps from step {updates.starts} on. Choose another memory, or set "
                f"trainer.update_period={rows}, trainer.updates_per_period=1 and trainer.learning_starts=0."
            )
        if request.num_steps != 1 or request.length is not None:
            raise errors.UsageError(
                f"The trainer learns from {request.num_steps if request.length is None else request.length} steps in a row; "
                "memory 'latest' hands out single steps. Choose another memory."
            )

    def add(self, step: Step, row: Tensor) -> None:
        self._step = step

    def sample(self, seed: Seed) -> Batch:
        acted = self._step.acted
        known = tf.get_static_value(acted)
        weight = () if known is not None and np.all(known) else weight_of(acted)  # () spares the device gear a product
        return Batch(**attrs.asdict(self._step, recurse=False), weight=weight)


def weight_of(acted: Tensor) -> Tensor:
    """Returns float32 weights with which the mean over rows is the mean over those that `acted` (bool)."""
    share = tf.cast(acted, tf.float32)
    return share * (tf.cast(tf.size(share), tf.float32) / tf.maximum(tf.reduce_sum(share), 1.0))
