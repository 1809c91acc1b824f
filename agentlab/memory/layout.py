"""What a trainer learns from, and what a memory has to store for that."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
import tensorflow as tf

from agentlab.checks.values import ranges_of
from agentlab.memory.update_schedule import UpdateSchedule
from agentlab.spec import EnvironmentSpec, map_space, targets_of
from agentlab.system.ranges import Range
from agentlab.types import Nest, Step


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
        target = {} if spec.target is None else ranges_of(targets_of(spec.target), "target")
        observed = {**ranges_of(spec.observation, "observation"), **ranges_of(spec.observation, "next_observation")}
        return {**observed, **ranges_of(spec.action, "action"), "discount": Range(0, 1), **target}

    def num_bytes(self) -> int:
        """Returns the bytes of one stored step."""
        leaves = tf.nest.flatten(self.step_signature())
        return sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.size for leaf in leaves)
