"""A normal distribution clipped to the bounds of the action."""

from __future__ import annotations

import math

import attrs
import numpy as np
import tensorflow as tf

from agentlab.distribution.contract import total
from agentlab.distribution.numbers import BoundedNormal, Normal
from agentlab.types import Tensor

FAR = 8.0  # standard deviations below 0 from which on a probability is computed by a series
BEYOND = 1e6  # stands for an infinite bound, in units of the action: no draw in float32 is so far from its mean


@attrs.frozen(eq=False, kw_only=True)
class ClippedNormal(BoundedNormal):
    """A normal distribution whose draws beyond a bound of the action count as that bound.

    A bound has a probability of its own, that of everything beyond it; between the bounds there is a density (Fujita and Maeda
    2018, arXiv:1802.07564). Where an element has two bounds, outputs are in units in which they are -1 and 1; else in units of
    the action. The entropy is the mean of minus the log-probability.

    Attributes:
        shape: of an action.
        low: the smallest action, an array of that shape; an element may be minus infinity.
        high: the largest; an element may be infinity.
        temperature: of the normal distribution; None for 1.
        unit_deviation: standard deviation, in those units, that an output of 0 stands for, greater than 0.
    """

    def log_probability(self, action: Tensor) -> Tensor:
        middle, half = self._units()
        action = tf.cast(action, tf.float32)
        log_std = self._normal().log_std
        normalized = ((action - middle) / half - self._normal().mean) * tf.exp(-log_std)

        # [B, *A] density between the bounds, probability at them.
        between = -0.5 * tf.square(normalized) - log_std - Normal.noise_scale - np.log(half)
        at_low, at_high = action <= np.float32(self.low), action >= np.float32(self.high)
        nats = tf.where(at_low, log_below(normalized), tf.where(at_high, log_below(-normalized), between))
        return total(nats, nats.shape.rank)

    def entropy(self) -> Tensor:
        # [B, *A] the bounds in standard deviations from the mean, and what lies beyond and between them.
        middle, half = self._units()
        mean, log_std = self._normal().mean, self._normal().log_std
        below, above = (
            (np.clip((bound - middle) / half, -BEYOND, BEYOND).astype(np.float32) - mean) * tf.exp(-log_std)
            for bound in (self.low, self.high)
        )
        tails = [log_below(below), log_below(-above)]
        share = 1.0 - tf.exp(tails[0]) - tf.exp(tails[1])

        # The integral of minus the log-density between the bounds, and that of the two probabilities.
        squares = share + below * _bell(below) - above * _bell(above)
        nats = share * (log_std + Normal.noise_scale + np.log(half)) + 0.5 * squares
        nats -= tf.exp(tails[0]) * tails[0] + tf.exp(tails[1]) * tails[1]
        return total(nats, nats.shape.rank)

    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the middle between two bounds and half their distance, or 0 and 1 without bounds."""
        bounded = np.isfinite(self.low) & np.isfinite(self.high)
        low, high = (np.where(bounded, bound, default) for bound, default in ((self.low, -1.0), (self.high, 1.0)))
        return ((high + low) / 2.0).astype(np.float32), ((high - low) / 2.0).astype(np.float32)

    def _to_action(self, raw: Tensor) -> Tensor:
        middle, half = self._units()
        return tf.clip_by_value(middle + half * raw, np.float32(self.low), np.float32(self.high))


def log_below(number: Tensor) -> Tensor:
    """Returns the logarithm of the probability that a standard normal draw is below `number`, float32 in its shape.

    Far below 0, where the probability is too small for float32, by its asymptotic series (Abramowitz and Stegun 1964, 26.2.12).
    """
    is_far = number < -FAR
    far, near = tf.where(is_far, number, -FAR), tf.where(is_far, -FAR, number)
    square = 1.0 / tf.square(far)
    series = tf.math.log1p(-square * (1.0 - 3.0 * square * (1.0 - 5.0 * square)))
    tail = -0.5 * tf.square(far) - tf.math.log(-far) - Normal.noise_scale + series
    return tf.where(is_far, tail, tf.math.log(0.5 * tf.math.erfc(-near * math.sqrt(0.5))))


def _bell(number: Tensor) -> Tensor:
    """Returns the density of the standard normal distribution."""
    return tf.exp(-0.5 * tf.square(number) - Normal.noise_scale)
