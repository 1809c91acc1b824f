"""The Sampler contract: chooses actions from a distribution; and the built-in samplers."""

from __future__ import annotations

import abc
from typing import Any

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.distribution import Distribution
from agentlab.fields import scheduled
from agentlab.schedules import Linear, Schedule, as_schedule, values_of
from agentlab.settings import LIVE
from agentlab.types import Nest, Seed, Tensor


def _check_probability(_: Any, attribute: attrs.Attribute, value: float | Schedule) -> None:
    if any(not 0.0 <= number <= 1.0 for number in values_of(value)):
        raise ValueError(f"{attribute.name!r} must be a probability, 0 to 1: {value}")


class Sampler(abc.ABC):
    """Chooses actions from distributions. Exploration, evaluation and text generation differ only in the sampler."""

    @abc.abstractmethod
    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        """Returns one action per row, `[B, *A]`.

        Args:
            distribution: of the actions, with the model's outputs.
            step: int64 scalar, environment steps taken so far, for schedules.
            seed: `[2]` int64 for `agentlab.seeds`.
        """

    def initial_state(self, distribution: Distribution, rows: int) -> Nest:
        """Returns what it carries from step to step before an episode's first step, tensors `[rows, ...]`; by default `()`.

        Args:
            distribution: without outputs.
            rows: episodes side by side.
        """
        return ()

    def sample_with_state(self, distribution: Distribution, state: Nest, step: Tensor, seed: Seed) -> tuple[Nest, Nest]:
        """Returns actions as of `sample`, and the state after them, shaped like `state`; overridden where there is one.

        The loop resets the state of a row where its episode ended, and keeps it in checkpoints.
        """
        return self.sample(distribution, step, seed), state

    def explore(self, distribution: Distribution, choices: tuple[int, ...], step: Tensor, seed: Seed) -> Tensor | None:
        """Returns the part of `sample`'s draws that doesn't depend on outputs, or None if all do, the default.

        A sampler that either takes the best action or explores at random can say so before outputs are computed. A host
        program then skips the forward pass where every row explores.

        Args:
            distribution: without outputs.
            choices: `[B, ...]`, the shape of the actions.
            step: as for `sample`.
            seed: as for `sample`.

        Returns:
            None, or `[B, ...]` int64: the action, or -1 where `sample` will return the mode.
        """
        return None


@attrs.frozen
class Greedy(Sampler):
    """Takes the most probable action, or the one with the largest value; the first of equal ones."""

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        return distribution.mode()


@attrs.frozen
class Stochastic(Sampler):
    """Draws from the distribution as it is.

    Attributes:
        random_steps: environment steps at first in which actions are uniformly random.
    """

    random_steps: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        return random_at_first(self.random_steps, distribution, distribution.sample(seed), step, seed)


@attrs.frozen
class Correlated(Sampler):
    """Draws from the distribution by noise that is correlated from step to step, so that exploring goes further.

    Each action by itself is distributed as those of `Stochastic`, as policy gradients assume, but the next one deviates from
    the mode to the same side: colored noise (Hollenstein, Martius and Piater 2024, arXiv:2312.11091), here of first order,
    `noise <- correlation * noise + n` with n standard normal, divided by its standard deviation. Each episode begins with
    noise of its own.

    Attributes:
        correlation: of the noise of two steps in a row, 0 or greater and less than 1; with 0 the noise is independent. It is
            correlated over some `1 / (1 - correlation)` steps.
    """

    correlation: float = attrs.field(default=0.9, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])

    def initial_state(self, distribution: Distribution, rows: int) -> Nest:
        return {"noise": tf.zeros([rows, *distribution.noise_shape]), "variance": tf.zeros([rows])}

    def sample_with_state(self, distribution: Distribution, state: Nest, step: Tensor, seed: Seed) -> tuple[Nest, Nest]:
        # [B, *A] sums of noise, and their variances [B]: 1 at an episode's first step.
        noise = self.correlation * state["noise"] + seeds.normal(seed, tf.shape(state["noise"]))
        variance = self.correlation**2 * state["variance"] + 1.0
        scale = tf.reshape(tf.math.rsqrt(variance), [-1, *(1 for _ in distribution.noise_shape)])
        return distribution.from_noise(scale * noise), {"noise": noise, "variance": variance}

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        start = self.initial_state(distribution, tf.shape(distribution.output)[0])
        return self.sample_with_state(distribution, start, step, seed)[0]


@attrs.frozen
class Temperature(Sampler):
    """Draws an action with probability proportional to `exp(logit / temperature)`, also known as Boltzmann exploration.

    `top_k` and `top_p` exclude improbable actions first. With both, `top_p` applies to what `top_k` leaves.

    Attributes:
        temperature: 0 or greater, in units of the output; 0 is greedy. A schedule counts environment steps.
        top_k: draw from the k most probable actions (Fan, Lewis and Dauphin 2018, arXiv:1805.04833); None for all.
        top_p: draw from the fewest actions whose probabilities add up to at least this; greater than 0, at most 1; None for
            all (nucleus sampling; Holtzman et al. 2020, arXiv:1904.09751).
    """

    temperature: float | Schedule = scheduled(1.0)
    top_k: int | None = None
    top_p: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"'top_k' must be at least 1: {self.top_k}")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"'top_p' must be greater than 0 and at most 1: {self.top_p}")

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        tempered = distribution.tempered(as_schedule(self.temperature)(step))
        if self.top_k is not None or self.top_p is not None:
            tempered = tempered.restricted(self.top_k, self.top_p)
        return tempered.sample(seed)


@attrs.frozen
class TopK(Temperature):
    """Draws from the k most probable actions; see `Temperature`."""

    top_k: int | None = 40


@attrs.frozen
class TopP(Temperature):
    """Draws from the most probable actions, which make up a probability of `top_p`; see `Temperature`."""

    top_p: float | None = 0.9


@attrs.frozen
class EpsilonGreedy(Sampler):
    """Takes a uniformly random action with probability epsilon, otherwise the mode.

    Attributes:
        epsilon: 0 to 1; a schedule counts environment steps.
    """

    epsilon: float | Schedule = attrs.field(
        factory=lambda: Linear(1.0, 0.05, 10_000), validator=_check_probability, metadata={LIVE: True}
    )

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        best = distribution.mode()
        return best_unless(self._explored(distribution, tf.shape(best), step, seed), best)

    def explore(self, distribution: Distribution, choices: tuple[int, ...], step: Tensor, seed: Seed) -> Tensor | None:
        return self._explored(distribution, choices, step, seed)

    def _explored(self, distribution: Distribution, choices: Tensor, step: Tensor, seed: Seed) -> Tensor:
        chance = seeds.uniform(seed, choices)
        anything = distribution.explore(choices, seeds.child(seed, "action"))
        if not anything.dtype.is_integer:
            raise errors.UsageError(
                f"Sampler 'epsilon-greedy' is for choices; a {type(distribution).__name__} is of numbers. Choose 'stochastic', "
                "or a sampler that adds noise."
            )
        return tf.where(chance < as_schedule(self.epsilon)(step), anything, tf.constant(-1, tf.int64))


def random_at_first(random_steps: int, distribution: Distribution, action: Tensor, step: Tensor, seed: Seed) -> Tensor:
    """Returns actions `[B, *A]`: uniformly random ones up to environment step `random_steps`, and `action` from then on.

    Args:
        random_steps: 0 or greater.
        distribution: of choices, or of numbers within bounds.
        action: `[B, *A]`.
        step: int64 scalar, environment steps taken so far.
        seed: `[2]` int64.

    Raises:
        UsageError: some actions are to be random, and the distribution has no uniformly random ones.
    """
    if not random_steps:
        return action
    anything = distribution.explore(tf.shape(action), seeds.child(seed, "random_action"))
    return tf.where(step < random_steps, anything, action)


def best_unless(explored: Tensor, best: Tensor) -> Tensor:
    """Returns the actions `explored` `[B, ...]` int64, or the `best` ones where these are -1."""
    return tf.where(explored >= 0, explored, best)
