"""The CQL trainer: SAC whose critics value low what nobody did, to learn from what somebody else did."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.fields import non_negative, optional_positive, positive
from agentlab.trainer import Loss
from agentlab.types import Batch, Nest, Seed, Tensor
from agentlab_actor_critic.sac import POLICY_METRICS, SAC


@attrs.define(slots=False, eq=False)
class CQL(SAC):
    """Conservative Q-learning, CQL(H) (Kumar et al. 2020, arXiv:2006.04779), for one choice or numbers within bounds.

    The critics' loss is that of SAC, and `conservative_weight` times how far the soft maximum of the values over all actions
    lies above the value of the action that was taken. For choices the soft maximum is exact, for numbers it is estimated from
    uniform actions and from those of the policy for this and the next observation.

    Attributes:
        conservative_weight: of that gap, 0 or greater; alpha in the paper. With 0 it is SAC.
        num_draws: actions drawn of each kind for the soft maximum, where actions are numbers.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *("critic_loss", "critic_gradient_norm", "q_mean", "error", "gap"),
        *POLICY_METRICS,
    )

    learning_starts: int = non_negative(0)
    update_period: int | None = optional_positive(None)  # type: ignore[assignment]
    conservative_weight: float = non_negative(1.0)
    num_draws: int = positive(10)

    def _critic_loss(self, batch: Batch, seed: Seed) -> Loss:
        loss = super()._critic_loss(batch, seed)

        def values(actions: Nest) -> Tensor:
            return self._critics.values_of_many(batch.observation, actions)

        # [C, N] the soft maximum of the values, and the value of what was done.
        seen = [self.spec.see(observation) for observation in (batch.observation, batch.next_observation)]
        policies = [self.trained["policy"](observation) for observation in seen]
        largest = self._soft.log_sum(values, policies, self.num_draws, seeds.child(seed, "log_sum"))
        outputs = self._critics.values(batch.observation, self._soft.scaled(batch.action), training=True)
        gap = largest - self._soft.taken(outputs, batch.action)

        conservative = self.conservative_weight * tf.reduce_sum(gap, axis=0)
        return attrs.evolve(loss, value=loss.value + conservative, metrics={**loss.metrics, "gap": tf.reduce_mean(gap)})
