"""The Distribution contract, and what distributions share."""

from __future__ import annotations

import abc
from typing import Self

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.types import Nest, Seed, Shape, Tensor

COLDEST = 1e-6  # temperature that stands in for 0 where it divides


@attrs.frozen(eq=False, kw_only=True)
class Distribution(abc.ABC):
    """The distribution of actions that outputs stand for.

    An instance says how outputs are read; `of(output)` returns the same with outputs, which the methods are about.
    A row's action may have several elements: probabilities are of all of them together.

    Attributes:
        output: `[B, ..., K]` float32, the model's outputs; None before `of`.
    """

    output: Tensor = None

    @property
    @abc.abstractmethod
    def num_outputs(self) -> int:
        """K, the outputs that the model needs."""

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        """Which of the K outputs say how far actions spread around the mode, by place; by default none."""
        return ()

    def of(self, output: Tensor) -> Self:
        """Returns this distribution for a model's outputs `[B, ..., K]`."""
        return attrs.evolve(self, output=output)

    @abc.abstractmethod
    def mode(self) -> Nest:
        """Returns the most probable actions `[B, *A]`."""

    @abc.abstractmethod
    def sample(self, seed: Seed) -> Nest:
        """Returns actions `[B, *A]`, an independent draw for each row; differentiable where actions are numbers."""

    @property
    def noise_shape(self) -> Shape:
        """The shape of the standard normal noise that a row's action is drawn from, see `from_noise`.

        Raises:
            UsageError: actions aren't drawn from normal noise.
        """
        raise errors.UsageError(unable(self, "isn't drawn from normal noise", "'stochastic'"))

    def from_noise(self, noise: Tensor) -> Tensor:
        """Returns the actions `[B, *A]` that standard normal `noise`, `[B, ...]` of `noise_shape`, stands for.

        Noise that is correlated from step to step makes correlated actions, each of which is distributed as those of `sample`.

        Raises:
            UsageError: actions aren't drawn from normal noise.
        """
        raise errors.UsageError(unable(self, "isn't drawn from normal noise", "'stochastic'"))

    @abc.abstractmethod
    def log_probability(self, action: Nest) -> Tensor:
        """Returns the logarithm of the probability (density) of actions `[B, *A]`, `[B]` float32."""

    @abc.abstractmethod
    def entropy(self) -> Tensor:
        """Returns the entropy in nats, `[B]` float32; to two digits where there is no closed form."""

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest action, arrays of an action's shape.

        Raises:
            UsageError: actions are no numbers within finite bounds.
        """
        raise errors.UsageError(unable(self, "is not one of numbers within bounds", "'stochastic' or 'greedy'"))

    def tempered(self, temperature: Tensor) -> Self:
        """Returns this distribution with probabilities `p**(1 / temperature)`, normalised; a temperature of 0 is the mode.

        Raises:
            UsageError: this distribution has no temperature.
        """
        raise errors.UsageError(unable(self, "has no temperature", "'greedy' or 'stochastic'"))

    def restricted(self, top_k: int | None, top_p: float | None) -> Distribution:
        """Returns this distribution with only the most probable actions left, see `agentlab.sampler.Temperature`.

        Raises:
            UsageError: this distribution can't be restricted.
        """
        raise errors.UsageError(unable(self, "is not one of single choices, which top_k and top_p need", "'stochastic'"))

    def masked(self, mask: Tensor) -> Self:
        """Returns this distribution with only the actions left that `mask` (`[B, ..., K]` bool) allows.

        Raises:
            UsageError: this distribution can't be masked.
        """
        raise errors.UsageError(unable(self, "can't be masked", "an environment without an action mask"))

    def explore(self, choices: Tensor, seed: Seed) -> Tensor:
        """Returns uniformly random actions in the shape `choices` `[B, ...]`; needs no outputs.

        They are int64 where actions are choices, and float32 where they are numbers within bounds.

        Raises:
            UsageError: actions are neither.
        """
        raise errors.UsageError(unable(self, "has no uniformly random action", "'stochastic' or 'greedy'"))


def unable(distribution: Distribution, reason: str, remedy: str) -> str:
    """Returns the sentence in which a distribution refuses what it can't do."""
    return f"The distribution {type(distribution).__name__} {reason}. Choose {remedy}."


def second_half(count: int) -> tuple[int, ...]:
    """Returns the places of the second half of `count` outputs."""
    return tuple(range(count // 2, count))


def last_axis(shape: Shape) -> int:
    """Returns the number of elements along an action's last axis; a scalar has one."""
    return shape[-1] if shape else 1


def shaped(values: Tensor, shape: Shape) -> Tensor:
    """Returns numbers `[B, ..., K]`, one per element of an action, in the action's shape `[B, *A]`."""
    return values if shape else values[..., 0]


def total(values: Tensor, rank: int) -> Tensor:
    """Returns the sums `[B]` of `values` `[B, ...]` of a rank."""
    return values if rank == 1 else tf.reduce_sum(values, axis=list(range(1, rank)))
