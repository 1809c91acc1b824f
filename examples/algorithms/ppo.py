"""Proximal policy optimization in one file: policy and value networks, epochs of minibatches, any action space.

Run it with `agentlab run --plugin examples/algorithms/ppo.py ppo-cartpole`.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.algorithms.advantages import generalized_advantages
from agentlab.algorithms.minibatches import epochs_over, merge_time
from agentlab.memory import Memory, Request
from agentlab.schedules import Linear, Schedule
from agentlab.seeds import child
from agentlab.spec import EnvironmentSpec
from agentlab.task import Evaluation, Task, part
from agentlab.trainer import Loss, Network, Trainer, Update, fraction, positive
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor


@attrs.define(slots=False, eq=False)
class PPO(Trainer):
    """Proximal policy optimization with clipping (Schulman et al. 2017, arXiv:1707.06347).

    Attributes:
        rollout_steps: T, steps of every environment that an update learns from.
        discount: discount factor of the return, 0 to 1.
        trace_decay: lambda of the advantages, 0 to 1.
        num_epochs: passes over a rollout.
        num_minibatches: of each pass.
        clip: how far the probability of an action may move from 1 before it stops counting.
        entropy_weight: of the policy's entropy in the loss.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        "policy_loss",
        "policy_gradient_norm",
        "entropy",
        "value_loss",
        "value_gradient_norm",
    )

    learning_rate: float | Schedule = attrs.field(factory=lambda: Linear(1e-3, 1e-5))
    max_gradient_norm: float | None = 0.5
    rollout_steps: int = positive(128)
    discount: float = fraction(0.99)
    trace_decay: float = fraction(0.95)
    num_epochs: int = positive(4)
    num_minibatches: int = positive(4)
    clip: float = positive(0.2)
    entropy_weight: float = 0.01

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        return {"policy": Network(self.distribution(spec).num_outputs), "value": Network(1)}

    def request(self) -> Request:
        return Request(length=self.rollout_steps, order="all", keep=("output",), discount=self.discount)

    def optimizer_steps(self) -> int:
        return self.num_epochs * self.num_minibatches

    def update(self, memory: Memory, seed: Seed) -> Update:
        rollout = memory.sample(seed)  # leaves [B, T, ...]

        # [B, T] values and advantages, by the networks as they were.
        values = self.values(rollout.observation)
        next_values = self.values(rollout.next_observation)
        advantages = generalized_advantages(
            rollout.reward, rollout.discount, rollout.ended, values, next_values, self.discount, self.trace_decay
        )

        # [B * T] rows, which epochs of minibatches go over.
        batch, advantages, returns = merge_time((rollout, advantages, advantages + values))
        before = self.distribution(self.spec).of(batch.output).log_probability(batch.action)
        rows = (batch, before, advantages, returns)
        return Update(epochs_over(rows, self.num_epochs, self.num_minibatches, seed, self._improve))

    def values(self, observation: Nest) -> Tensor:
        """Returns the values `[B, T]` of observations `[B, T, *O]`."""
        rows, length = tf.nest.flatten(observation)[0].shape[:2]
        return tf.reshape(self.trained["value"](self.spec.see(merge_time(observation))), [rows, length])

    def _improve(self, minibatch: Nest, seed: Seed) -> Metrics:
        batch, before, advantages, returns = minibatch
        policy, _ = self.minimize("policy", lambda: self._policy_loss(batch, before, advantages), seed)
        value, _ = self.minimize("value", lambda: self._value_loss(batch, returns), child(seed, "value"))
        return {**policy, **value}

    def _policy_loss(self, batch: Batch, before: Tensor, advantages: Tensor) -> Loss:
        policy = self.distribution(self.spec).of(self.trained["policy"](self.spec.see(batch.observation), training=True))
        ratio = tf.exp(policy.log_probability(batch.action) - before)  # [M]
        mean, variance = tf.nn.moments(advantages, axes=[0])
        normalized = (advantages - mean) / tf.sqrt(variance + 1e-8)
        clipped = tf.clip_by_value(ratio, 1.0 - self.clip, 1.0 + self.clip)
        gain = tf.minimum(ratio * normalized, clipped * normalized)
        entropy = policy.entropy()
        return Loss(-gain - self.entropy_weight * entropy, {"entropy": tf.reduce_mean(entropy)}, weight=batch.weight)

    def _value_loss(self, batch: Batch, returns: Tensor) -> Loss:
        values = self.trained["value"](self.spec.see(batch.observation), training=True)[:, 0]
        return Loss(0.5 * tf.square(returns - values), weight=batch.weight)


ppo_cartpole = Task(
    name="ppo-cartpole",
    description="PPO balances CartPole.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=part("ppo"),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=200_000,
    num_environments=8,
    report_period=20_000,
    evaluation=Evaluation(episodes=20),
)
