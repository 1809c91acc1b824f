"""The TD3+BC trainer: TD3 whose policy also imitates, to learn from what somebody else did."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab.algorithms.critics import total
from agentlab.fields import non_negative, optional_positive
from agentlab.trainer import Loss
from agentlab.types import Batch
from agentlab_actor_critic.td3 import TD3


@attrs.define(slots=False, eq=False)
class TD3BC(TD3):
    """TD3 with behaviour cloning (Fujimoto and Gu 2021, arXiv:2106.06860).

    The policy's loss is the squared distance to the action that was taken, minus the critic's value, which counts
    `value_weight` times its size in the batch. In an environment in which it acts itself, it imitates what it did before.

    Attributes:
        value_weight: of the value in the policy's loss, 0 or greater; 2.5 in the paper, 0 clones alone.
    """

    learning_starts: int = non_negative(0)
    update_period: int | None = optional_positive(None)  # type: ignore[assignment]
    value_weight: float = non_negative(2.5)

    def _policy_loss(self, batch: Batch) -> Loss:
        # Actions from -1 to 1: the policy's, and the one that was taken.
        output = self.trained["policy"](self.spec.see(batch.observation), training=True)
        action = self._unit.of(output).mode()
        apart = tf.square(action - self._bounds.to_unit(batch.action))

        # [N] values in units of their mean size, from which nothing is learned.
        value = total(self._critics.values(batch.observation, action, count=1))[0]
        size = tf.stop_gradient(tf.reduce_mean(tf.abs(value)))
        imitation = tf.reduce_mean(apart, axis=list(range(1, apart.shape.rank)))
        return Loss(imitation - self.value_weight * tf.math.divide_no_nan(value, size), weight=batch.weight)
