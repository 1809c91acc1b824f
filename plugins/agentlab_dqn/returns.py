"""What a Q-network says of the return beyond an action: its expected value, or its distribution over a support."""

from __future__ import annotations

import abc
from typing import Any

import attrs
import tensorflow as tf


class Returns(abc.ABC):
    """How outputs are read as returns, and how far they are from what followed.

    Everything beyond an action is `reward` `[N]` for the steps at hand, and `discount` `[N]` times what the target network's
    `next_output` `[N, K]` says of `next_action` `[N]`.
    """

    @abc.abstractmethod
    def num_outputs(self, num_actions: int) -> int:
        """Returns K, the outputs for so many actions."""

    @abc.abstractmethod
    def values(self, output: Any) -> Any:
        """Returns the expected return of every action, `[..., A]`, by outputs `[..., K]`."""

    @abc.abstractmethod
    def compare(
        self, output: Any, action: Any, reward: Any, discount: Any, next_output: Any, next_action: Any
    ) -> tuple[Any, Any]:
        """Returns the loss `[N]` of outputs `[N, K]` for the actions taken `[N]`, and the error `[N]`, 0 or greater."""


def td_targets(reward: Any, discount: Any, next_values: Any, next_actions: Any) -> Any:
    """Returns `reward + discount * next_values[next_actions]` `[N]`: what the value of the action taken should have been.

    Args:
        reward: `[N]` float32.
        discount: `[N]` float32, 0 where nothing lies beyond, else the discount factor.
        next_values: `[N, A]` float32, values of the next observation's actions.
        next_actions: `[N]` int, which of them to bootstrap from: the best by these values (DQN), or by another network's
            (double DQN; van Hasselt, Guez and Silver 2016, arXiv:1509.06461).
    """
    return reward + discount * tf.gather(next_values, next_actions, batch_dims=1)


def huber(error: Any, delta: float) -> Any:
    """Returns `error**2 / 2` where `|error| <= delta`, else `delta * (|error| - delta / 2)` (Huber 1964)."""
    size = tf.abs(error)
    return tf.where(size <= delta, 0.5 * tf.square(error), delta * (size - 0.5 * delta))


@attrs.frozen
class Expected(Returns):
    """One output per action, its expected return. The error is the temporal difference's size.

    Attributes:
        huber_delta: error beyond which the loss grows linearly; None for half the squared error.
    """

    huber_delta: float | None

    def num_outputs(self, num_actions: int) -> int:
        return num_actions

    def values(self, output: Any) -> Any:
        return output

    def compare(
        self, output: Any, action: Any, reward: Any, discount: Any, next_output: Any, next_action: Any
    ) -> tuple[Any, Any]:
        targets = td_targets(reward, discount, next_output, next_action)
        error = tf.stop_gradient(targets) - tf.gather(output, action, batch_dims=1)
        loss = 0.5 * tf.square(error) if self.huber_delta is None else huber(error, self.huber_delta)
        return loss, tf.abs(error)


def projected(returns: Any, probabilities: Any, minimum: float, maximum: float) -> Any:
    """Returns probabilities `[N, Z]` of Z evenly spaced returns from `minimum` to `maximum` that stand for any others.

    What lies between two of them is shared out by nearness, and what lies outside counts for the nearest: the projection of
    Bellemare, Dabney and Munos (2017), arXiv:1707.06887, equation 7.

    Args:
        returns: `[N, Z]` float32.
        probabilities: `[N, Z]` float32, of those.
        minimum: the lowest of the spaced returns.
        maximum: the highest.
    """
    num_atoms = returns.shape[-1]
    place = (tf.clip_by_value(returns, minimum, maximum) - minimum) * ((num_atoms - 1) / (maximum - minimum))
    distance = tf.abs(place[:, None, :] - tf.range(num_atoms, dtype=tf.float32)[None, :, None])
    return tf.reduce_sum(tf.maximum(1.0 - distance, 0.0) * probabilities[:, None, :], axis=-1)


@attrs.frozen
class Categorical(Returns):
    """Z outputs per action, the logits of Z evenly spaced returns: C51 (Bellemare, Dabney and Munos 2017, arXiv:1707.06887).

    The loss is the cross-entropy. The error is the Kullback-Leibler divergence, by which Rainbow ranks transitions (Hessel et
    al. 2018, arXiv:1710.02298).

    Attributes:
        num_atoms: Z.
        minimum: the lowest return.
        maximum: the highest.
    """

    num_atoms: int
    minimum: float
    maximum: float

    def num_outputs(self, num_actions: int) -> int:
        return num_actions * self.num_atoms

    def values(self, output: Any) -> Any:
        return tf.reduce_sum(tf.nn.softmax(self._by_action(output)) * self._support(), axis=-1)

    def compare(
        self, output: Any, action: Any, reward: Any, discount: Any, next_output: Any, next_action: Any
    ) -> tuple[Any, Any]:
        beyond = tf.nn.softmax(tf.gather(self._by_action(next_output), next_action, batch_dims=1))
        returns = reward[:, None] + discount[:, None] * self._support()
        target = tf.stop_gradient(projected(returns, beyond, self.minimum, self.maximum))
        predicted = tf.nn.log_softmax(tf.gather(self._by_action(output), action, batch_dims=1))
        cross_entropy = -tf.reduce_sum(target * predicted, axis=-1)
        entropy = -tf.reduce_sum(tf.math.xlogy(target, target), axis=-1)
        return cross_entropy, tf.maximum(tf.stop_gradient(cross_entropy) - entropy, 0.0)

    def _by_action(self, output: Any) -> Any:
        """Returns logits `[..., A, Z]`."""
        num_actions = output.shape[-1] // self.num_atoms
        return tf.reshape(output, tf.concat([tf.shape(output)[:-1], [num_actions, self.num_atoms]], axis=0))

    def _support(self) -> Any:
        return tf.linspace(self.minimum, self.maximum, self.num_atoms)
