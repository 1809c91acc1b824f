"""How a Q-network's outputs represent the return of an action: as its expected value, which may be rescaled."""

from __future__ import annotations

import abc

import attrs
import tensorflow as tf

from agentlab.distribution import ActionValues
from agentlab.tensors.selection import selected
from agentlab.types import Tensor


class Returns(abc.ABC):
    """How outputs represent returns, and how far they are from their targets."""

    @abc.abstractmethod
    def distribution(self, num_actions: int) -> ActionValues:
        """Returns what outputs say of so many actions."""

    @abc.abstractmethod
    def compare(
        self,
        values: ActionValues,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_values: ActionValues,
        next_action: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss `[N]` of the values of the actions taken `[N]`, and the error `[N]`, 0 or greater.

        What the actions led to is `reward` `[N]`, and `discount` `[N]` times what `next_values` say of `next_action` `[N]`.
        """


def td_targets(reward: Tensor, discount: Tensor, next_values: Tensor, next_actions: Tensor) -> Tensor:
    """Returns `reward + discount * next_values[next_actions]` `[N]`: what the value of the action taken should have been.

    Args:
        reward: `[N]` float32.
        discount: `[N]` float32, 0 where nothing lies beyond, else the discount factor.
        next_values: `[N, A]` float32, values of the next observation's actions.
        next_actions: `[N]` int, which of them to bootstrap from: the best by these values (DQN), or by another network's
            (double DQN; van Hasselt, Guez and Silver 2016, arXiv:1509.06461).
    """
    return reward + discount * tf.gather(next_values, next_actions, batch_dims=1)


def sums_ahead(reward: Tensor, discount: Tensor, ended: Tensor, factor: float, num_steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the returns of `num_steps` steps within sequences, up to where the episode ends, or the sequence; `[N, T]` each.

    Those are the discounted sum of rewards; the discount of what follows, but for the factor of its first step, as of
    `agentlab.types.Batch`; and the place in the sequence of the last step that was summed up, int32.

    Args:
        reward: `[N, T]` float32.
        discount: `[N, T]` float32, 0 where the task terminated, else 1.
        ended: `[N, T]` bool, where the next step belongs to another episode.
        factor: discount factor, 0 to 1.
        num_steps: n, at least 1.
    """
    own = tf.range(reward.shape[1]) + tf.zeros_like(ended, tf.int32)
    continues = ~tf.concat([ended[:, :-1], tf.ones_like(ended[:, -1:])], axis=1)  # nothing follows the last step
    sums, following, last = reward, discount, own

    # Sums of one step more, of those of the step after.
    for _ in range(num_steps - 1):
        ahead = [tf.roll(leaf, -1, axis=1) for leaf in (sums, following, last)]
        sums = reward + tf.where(continues, factor * ahead[0], 0.0)
        following = tf.where(continues, factor * ahead[1], discount)
        last = tf.where(continues, ahead[2], own)
    return sums, following, last


def huber(error: Tensor, delta: float) -> Tensor:
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

    def distribution(self, num_actions: int) -> ActionValues:
        return ActionValues(num_values=num_actions)

    def compare(
        self,
        values: ActionValues,
        action: Tensor,
        reward: Tensor,
        discount: Tensor,
        next_values: ActionValues,
        next_action: Tensor,
    ) -> tuple[Tensor, Tensor]:
        return self.errors(values, action, self.targets(reward, discount, next_values.output, next_action))

    def targets(self, reward: Tensor, discount: Tensor, next_outputs: Tensor, next_action: Tensor) -> Tensor:
        """Returns what the outputs of the actions taken should have been `[N]`; see `td_targets`."""
        return td_targets(reward, discount, next_outputs, next_action)

    def errors(self, values: ActionValues, action: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss `[N]` of the values of the actions taken, and the errors `[N]`, by their targets `[N]`."""
        error = tf.stop_gradient(targets) - selected(values.output, action)
        loss = 0.5 * tf.square(error) if self.huber_delta is None else huber(error, self.huber_delta)
        return loss, tf.abs(error)


RESCALING = 1e-3  # the slope far from 0 of what makes large returns small


def rescaled(values: Tensor) -> Tensor:
    """Returns `sign(x) (sqrt(|x| + 1) - 1) + 0.001 x` (Pohlen et al. 2018, arXiv:1805.11593, section 3.2)."""
    return tf.sign(values) * (tf.sqrt(tf.abs(values) + 1.0) - 1.0) + RESCALING * values


def unscaled(values: Tensor) -> Tensor:
    """Returns the inverse of `rescaled`."""
    size = tf.cast(tf.abs(values), tf.float64)  # float32 would lose four digits to the differences
    root = (tf.sqrt(1.0 + 4.0 * RESCALING * (size + 1.0 + RESCALING)) - 1.0) / (2.0 * RESCALING)
    return tf.sign(values) * tf.cast(tf.square(root) - 1.0, tf.float32)


@attrs.frozen
class Rescaled(Expected):
    """One output per action, its expected return made small by `rescaled`. The error is that of the output."""

    def targets(self, reward: Tensor, discount: Tensor, next_outputs: Tensor, next_action: Tensor) -> Tensor:
        # [N] in units of the return, then as small as the outputs.
        return rescaled(td_targets(reward, discount, unscaled(next_outputs), next_action))
