"""The trainer: what is learned from the steps in the memory."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.algorithms.advantages import generalized_advantages
from agentlab.algorithms.minibatches import merge_time
from agentlab.fields import fraction, positive
from agentlab.memory import Memory, Request
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Loss, Network, Trainer, Update
from agentlab.types import Batch, Nest, Seed, Tensor


@attrs.define(slots=False, eq=False)
class MyPlugin(Trainer):
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783) with generalized advantages.

    One network has the outputs of the actions' usual distribution, such as logits, and after them the value. Draw actions with
    the sampler "stochastic".

    Attributes:
        rollout_steps: T, the steps of every environment that an update learns from.
        discount: discount factor of the return, 0 to 1.
        trace_decay: lambda of the advantages, 0 to 1.
        value_weight: of the squared error of the values in the loss.
        entropy_weight: of the policy's entropy in the loss.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("policy_loss", "policy_gradient_norm", "entropy", "value_error")

    learning_rate: float = 1e-2
    max_gradient_norm: float | None = 0.5
    rollout_steps: int = positive(8)
    discount: float = fraction(0.9)
    trace_decay: float = fraction(0.95)
    value_weight: float = positive(0.5)
    entropy_weight: float = attrs.field(default=0.001, validator=attrs.validators.ge(0))

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        return {"policy": Network(self.distribution(spec).num_outputs + 1)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=self.rollout_steps, order="all", keep=("output",), discount=self.discount)

    def update(self, memory: Memory, seed: Seed) -> Update:
        rollout = memory.sample(seed)  # leaves [B, T, ...]

        # [B, T] values, as they were when the agent acted, and of what its actions led to.
        values = rollout.output[..., -1]
        next_values = tf.reshape(self._output(merge_time(rollout.next_observation))[:, -1], values.shape)
        advantages = generalized_advantages(
            rollout.reward, rollout.discount, rollout.ended, values, next_values, self.discount, self.trace_decay
        )

        # [B * T] rows.
        batch, advantages, returns = merge_time((rollout, advantages, advantages + values))
        return Update(self.minimize("policy", lambda: self._loss(batch, advantages, returns), seed)[0])

    def _loss(self, batch: Batch, advantages: Tensor, returns: Tensor) -> Loss:
        output = self._output(batch.observation, training=True)  # [N, K + 1]
        policy = self.distribution(self.spec).of(output[:, :-1])
        error, entropy = tf.square(returns - output[:, -1]), policy.entropy()  # [N]

        gain = advantages * policy.log_probability(batch.action) + self.entropy_weight * entropy
        metrics = {"entropy": tf.reduce_mean(entropy), "value_error": tf.reduce_mean(error)}
        return Loss(self.value_weight * error - gain, metrics, weight=batch.weight)

    def _output(self, observation: Nest, training: bool = False) -> Tensor:
        """Returns the network's outputs `[N, K + 1]` for observations `[N, *O]`."""
        return self.acting(self.inputs("policy", observation), training=training)
