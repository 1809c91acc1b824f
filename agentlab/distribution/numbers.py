"""Distributions of numbers: the outputs themselves, normal, and normal within bounds."""

from __future__ import annotations

import abc
import math
from typing import ClassVar, Self

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.distribution.contract import COLDEST, Distribution, last_axis, second_half, shaped, total, unable
from agentlab.types import Seed, Shape, Tensor

LOG_STD_RANGE = (-20.0, 2.0)  # of a normal distribution's outputs, as in Haarnoja et al. (2018), arXiv:1801.01290

# Points at which a function of a standard normal number is added up to its mean. An even spacing converges faster than any
# power of it where the function is smooth: the log-slope of tanh is, also at the largest standard deviation.
POINTS = np.linspace(-5.0, 5.0, 41, dtype=np.float32)
SHARES = np.exp(-0.5 * POINTS**2) / np.sum(np.exp(-0.5 * POINTS**2))


@attrs.frozen(eq=False, kw_only=True)
class Deterministic(Distribution):
    """The outputs themselves are the action.

    Attributes:
        shape: of an action.
    """

    shape: Shape

    @property
    def num_outputs(self) -> int:
        return last_axis(self.shape)

    def mode(self) -> Tensor:
        return shaped(self.output, self.shape)

    def sample(self, seed: Seed) -> Tensor:
        return self.mode()

    def log_probability(self, action: Tensor) -> Tensor:
        raise errors.UsageError(unable(self, "has no probabilities", "a trainer that needs none"))

    def entropy(self) -> Tensor:
        raise errors.UsageError(unable(self, "has no entropy", "a trainer that needs none"))


@attrs.frozen(eq=False, kw_only=True)
class Normal(Distribution):
    """Independent normal distributions: outputs are the means, then the logarithms of the standard deviations.

    Attributes:
        shape: of an action.
        temperature: by which variances are multiplied; None for 1.
        unit_deviation: standard deviation that an output of 0 stands for, greater than 0.
    """

    shape: Shape
    temperature: Tensor = None
    unit_deviation: float = 1.0
    noise_scale: ClassVar[float] = 0.5 * math.log(2.0 * math.pi)

    @property
    def num_outputs(self) -> int:
        return 2 * last_axis(self.shape)

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        return second_half(self.num_outputs)

    @property
    def mean(self) -> Tensor:
        """`[B, *A]`."""
        return shaped(self.output[..., : self.num_outputs // 2], self.shape)

    @property
    def log_std(self) -> Tensor:
        """`[B, *A]`, of the outputs within LOG_STD_RANGE, and tempered."""
        outputs = shaped(self.output[..., self.num_outputs // 2 :], self.shape)
        log_std = tf.clip_by_value(outputs + math.log(self.unit_deviation), *LOG_STD_RANGE)
        if self.temperature is None:
            return log_std
        # p**(1 / t) of a normal distribution is a normal distribution with t times the variance.
        return log_std + 0.5 * tf.math.log(tf.maximum(self.temperature, COLDEST**2))

    def mode(self) -> Tensor:
        return self.mean

    @property
    def noise_shape(self) -> Shape:
        return self.shape

    def sample(self, seed: Seed) -> Tensor:
        return self.from_noise(seeds.normal(seed, tf.shape(self.mean)))

    def from_noise(self, noise: Tensor) -> Tensor:
        std = tf.exp(self.log_std)
        if self.temperature is not None:
            std = tf.where(self.temperature > 0.0, std, 0.0)
        return self.mean + std * noise

    def log_probability(self, action: Tensor) -> Tensor:
        log_std = self.log_std
        normalized = (tf.cast(action, tf.float32) - self.mean) * tf.exp(-log_std)
        density = -0.5 * tf.square(normalized) - log_std - self.noise_scale
        return total(density, density.shape.rank)

    def entropy(self) -> Tensor:
        nats = self.log_std + 0.5 + self.noise_scale
        return total(nats, nats.shape.rank)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)


@attrs.frozen(eq=False, kw_only=True)
class BoundedNormal(Distribution):
    """A normal distribution whose draws are brought within the bounds of the action, after it is tempered.

    Attributes:
        shape: of an action.
        low: the smallest action, an array of that shape.
        high: the largest.
        temperature: of the normal distribution; None for 1.
        unit_deviation: standard deviation of the normal distribution that an output of 0 stands for, greater than 0.
    """

    shape: Shape
    low: np.ndarray
    high: np.ndarray
    temperature: Tensor = None
    unit_deviation: float = 1.0

    @property
    def num_outputs(self) -> int:
        return 2 * last_axis(self.shape)

    @property
    def deviation_outputs(self) -> tuple[int, ...]:
        return second_half(self.num_outputs)

    def mode(self) -> Tensor:
        return self._to_action(self._normal().mean)

    @property
    def noise_shape(self) -> Shape:
        return self.shape

    def sample(self, seed: Seed) -> Tensor:
        return self._to_action(self._normal().sample(seed))

    def from_noise(self, noise: Tensor) -> Tensor:
        return self._to_action(self._normal().from_noise(noise))

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        are_finite = np.isfinite(self.low).all() and np.isfinite(self.high).all()
        return (self.low, self.high) if are_finite else super().bounds

    def explore(self, choices: Tensor, seed: Seed) -> Tensor:
        return uniform_between(*self.bounds, choices, seed)

    def tempered(self, temperature: Tensor) -> Self:
        return attrs.evolve(self, temperature=temperature)

    def _normal(self) -> Normal:
        return Normal(shape=self.shape, output=self.output, temperature=self.temperature, unit_deviation=self.unit_deviation)

    @abc.abstractmethod
    def _to_action(self, raw: Tensor) -> Tensor:
        """Returns the actions `[B, *A]` that draws `raw` `[B, *A]` of the normal distribution become."""


@attrs.frozen(eq=False, kw_only=True)
class SquashedNormal(BoundedNormal):
    """A normal distribution squashed by tanh into the bounds of the action (Haarnoja et al. 2018, arXiv:1801.01290).

    Attributes and outputs are those of `BoundedNormal`.
    """

    def sample_with_log_probability(self, seed: Seed) -> tuple[Tensor, Tensor]:
        """Returns actions `[B, *A]` and their log-densities `[B]`, exact where the squashed action is rounded to a bound."""
        raw = self._normal().sample(seed)
        return self._to_action(raw), self._density(raw)

    def log_probability(self, action: Tensor) -> Tensor:
        unit = (tf.cast(action, tf.float32) - self.low) / (self.high - self.low) * 2.0 - 1.0
        limit = 1.0 - 1e-6  # beyond which float32 can't tell how far out an action was
        return self._density(tf.atanh(tf.clip_by_value(unit, -limit, limit)))

    def entropy(self) -> Tensor:
        # The normal's own entropy, and the mean change of volume, which has no closed form.
        normal = self._normal()
        raw = normal.mean[..., None] + tf.exp(normal.log_std)[..., None] * POINTS  # [B, *A, points]
        volume = self._log_half() + tf.reduce_sum(SHARES * _log_slope(raw), axis=-1)
        return normal.entropy() + total(volume, volume.shape.rank)

    def _to_action(self, raw: Tensor) -> Tensor:
        middle, half = (self.high + self.low) / 2.0, (self.high - self.low) / 2.0
        return tf.clip_by_value(middle + half * tf.tanh(raw), self.low, self.high)

    def _density(self, raw: Tensor) -> Tensor:
        """Returns log-densities `[B]` of the actions that `raw` `[B, *A]` are squashed to."""
        volume = self._log_half() + _log_slope(raw)
        return self._normal().log_probability(raw) - total(volume, volume.shape.rank)

    def _log_half(self) -> np.ndarray:
        """Returns the logarithm of half the width of the bounds, in the action's shape."""
        return np.log((self.high - self.low) / 2.0).astype(np.float32)


def uniform_between(low: np.ndarray, high: np.ndarray, shape: Tensor, seed: Seed) -> Tensor:
    """Returns uniformly random numbers, float32 in `shape` `[B, *A]`, from `low` `[*A]` to `high` `[*A]`.

    The same bits by every execution: a product of two float32 numbers is exact in float64, so that it makes no difference
    whether XLA rounds it before it is added.
    """
    width = (high - low).astype(np.float32).astype(np.float64)
    unit = tf.cast(seeds.uniform(seed, shape), tf.float64)
    drawn = tf.cast(low.astype(np.float64) + width * unit, tf.float32)
    return tf.clip_by_value(drawn, low.astype(np.float32), high.astype(np.float32))


def _log_slope(raw: Tensor) -> Tensor:
    """Returns the logarithm of the slope of tanh: `1 - tanh(x)**2 = 4 / (e**x + e**-x)**2`, without overflow."""
    return 2.0 * (math.log(2.0) - raw - tf.nn.softplus(-2.0 * raw))
