"""The Memory contract: stores steps and hands out batches; its storage is tf.Variables."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.checks.values import ranges_of as ranges_of_space
from agentlab.checks.values import without_least
from agentlab.spec import EnvironmentSpec, map_space
from agentlab.system.ranges import Range
from agentlab.tensors.state import ranges_of, variables_of, written_rows_of
from agentlab.types import Batch, Nest, Seed, Step, Tensor


@attrs.frozen
class Request:
    """What a trainer learns from.

    Attributes:
        num_steps: n, environment steps that make up one row of a batch; fewer where the episode ends before.
        discount: the discount factor of the return that is learned about, 0 to 1. The n rewards of a row are summed up with it,
            and rewards are normalised by the return with it.
        length: T, steps of a sequence; None for single rows without a time axis.
        burn_in: steps of a sequence that only bring a recurrent model's state up to date.
        order: "any", a draw from what is stored; or "all", everything since the last update, in order, `length` steps of
            every environment.
        keep: which of "output" and "state" of the decision a batch contains.
        priority: whether updates tell how far off they were on each row of a batch, for memories that draw by it.
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
    """When updates are due: the one place where that is decided.

    Attributes:
        period: environment steps from one round of updates to the next.
        count: updates in a round.
        starts: environment steps before the first.
    """

    period: int
    count: int = 1
    starts: int = 0

    def due(self, steps: int | Tensor, taken: int) -> Any:
        """Returns how many updates are due when `steps` (int or int64 scalar) is reached by the last `taken` steps."""
        rounds = steps // self.period - (steps - taken) // self.period
        if isinstance(steps, int):
            return rounds * self.count if steps >= self.starts else 0
        return tf.where(steps >= self.starts, rounds * self.count, tf.zeros_like(rounds))

    def total(self, steps: int, taken: int) -> int:
        """Returns how many updates a budget of `steps` comes to, in whole turns of `taken` steps: the sum of what is `due`."""
        turns, first = -(-steps // taken), max(1, -(-self.starts // taken))  # in the turns from the first on, rounds count
        before = (first - 1) * taken // self.period
        return (turns * taken // self.period - before) * self.count if turns >= first else 0


@attrs.frozen(eq=False)
class Layout:
    """What a memory is to store and hand out.

    Attributes:
        spec: of the environments.
        num_environments: B.
        request: of the trainer.
        updates: when they are due.
        output: `tf.TensorSpec` of a decision's output without the batch axis, if the request keeps it; else `()`.
        state: those of a model's state, if the request keeps it; else `()`.
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
        target = {} if spec.target is None else ranges_of_space(map_space(without_least, spec.target), "target")
        observed = {**ranges_of_space(spec.observation, "observation"), **ranges_of_space(spec.observation, "next_observation")}
        return {**observed, **ranges_of_space(spec.action, "action"), "discount": Range(0, 1), **target}

    def num_bytes(self) -> int:
        """Returns the bytes of one stored step."""
        leaves = tf.nest.flatten(self.step_signature())
        return sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.size for leaf in leaves)


class Memory(abc.ABC):
    """Stores steps and hands out batches. Settings are constructor arguments; `build` allocates the storage.

    Attributes:
        records_acting: whether the forward pass that acted is the one learned from. Such a memory hands out the last turn only.
    """

    records_acting: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, layout: Layout) -> None:
        """Allocates storage.

        Args:
            layout: what to store, and what is asked for.

        Raises:
            UsageError: this memory can't hand out what the request asks for.
        """

    @abc.abstractmethod
    def add(self, step: Step, row: Tensor) -> None:
        """Stores N steps, leaves `[N, ...]`, in the order in which they happened; traceable.

        Rows that are no transition (`acted` False) are not handed out, or handed out with a weight of 0.

        Args:
            step: of N rows: of B environments in one turn, or of several turns on end.
            row: `[N]` int64, 0 to B - 1, the environment of each.
        """

    def cut(self, row: Tensor) -> None:  # noqa: B027 - most connect no steps
        """Marks the running episodes of the environments `row` `[N]` int64 as abandoned: nothing follows their last steps."""

    @abc.abstractmethod
    def sample(self, seed: Seed) -> Batch:
        """Returns a batch of what is stored, as the request asks; at least one step has been stored. Traceable."""

    def update_priorities(self, place: Nest, priority: Tensor) -> None:  # noqa: B027 - most have none
        """Takes in how far off the trainer was on the rows of a batch, where the request says that it tells.

        Args:
            place: of the batch.
            priority: `[N]` float32, 0 or greater.
        """

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every tf.Variable of the storage by name: those that its attributes hold."""
        return variables_of(self)

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of its variables can be, by the names of `variables`.

        A checkpoint with others is refused. By default floating-point numbers are finite, and what its attributes hold is as
        their own method `ranges` says, if they have one. Name at least the whole numbers that are used as places in other
        variables: TensorFlow ends the program, or reads anything, at a place that there isn't.
        """
        return ranges_of(self)

    def written_rows(self) -> dict[str, int]:
        """Returns how many rows have been written, by the names of those variables that are filled from the first row on.

        A checkpoint copies no other rows of theirs, which are zeros. It looks through variables that are not named. By default
        what its attributes hold is as their own method `written_rows` says, if they have one.
        """
        return written_rows_of(self)


@attrs.define(slots=False, eq=False)
class Latest(Memory):
    """Hands out the last turn, learned from by the forward pass that acted."""

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
    """Returns the weights, float32, of rows that `acted` (bool), with which a mean is over those alone."""
    share = tf.cast(acted, tf.float32)
    return share * (tf.cast(tf.size(share), tf.float32) / tf.maximum(tf.reduce_sum(share), 1.0))
