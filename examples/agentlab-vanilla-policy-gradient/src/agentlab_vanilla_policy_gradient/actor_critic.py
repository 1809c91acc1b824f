"""Advantage actor-critic."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.algorithms.advantages import discounted_sums
from agentlab.algorithms.minibatches import merge_time
from agentlab.distribution import Distribution
from agentlab.fields import fraction, positive
from agentlab.memory import Memory, Request
from agentlab.model import infer
from agentlab.schedules import Schedule
from agentlab.seeds import child
from agentlab.spec import EnvironmentSpec
from agentlab.spec.environment_spec import MASK
from agentlab.trainer import Loss, Network, Trainer, Update
from agentlab.types import Batch, Nest, Seed, Tensor


def policy_loss(policy: Distribution, action: Nest, advantage: Tensor) -> tuple[Tensor, Tensor]:
    """Returns `-log pi(action) * advantage` and the policy's entropy, `[N]` each."""
    return -policy.log_probability(action) * tf.stop_gradient(advantage), policy.entropy()


def targets(batch: Batch, next_values: Tensor, factor: float) -> Tensor:
    """Returns what the values of the observations should have been, `[B, T]`: discounted rewards, and what is beyond them.

    Rewards count up to the end of the episode or of the rollout. Beyond that are the `next_values` of what the last action led
    to, or nothing where the task terminated.

    Args:
        batch: leaves `[B, T, ...]`.
        next_values: `[B, T]` float32, of what the actions led to.
        factor: discount factor, 0 to 1.
    """
    last = tf.range(batch.reward.shape[1]) == batch.reward.shape[1] - 1  # [T]
    goes_on = tf.where(batch.ended | last, 0.0, 1.0)
    beyond = (1.0 - goes_on) * batch.discount * next_values
    return discounted_sums(batch.reward + factor * beyond, factor * goes_on)


@attrs.define(slots=False, eq=False)
class ActorCritic(Trainer):
    """Advantage actor-critic (Sutton and Barto 2018, section 13.5; Mnih et al. 2016, arXiv:1602.01783).

    The policy acts, to be drawn from by the sampler "stochastic". The critic, a network of the same kind, learns the value of
    an observation; the advantage is the sum of the rewards in the rollout and the value beyond them, less the value.

    Attributes:
        rollout_steps: T, steps of every environment that an update learns from.
        discount: discount factor of the return, 0 to 1.
        entropy_weight: what an even policy is worth, in units of the return; 0 or greater.
        critic_learning_rate: of the critic's optimizer; a schedule counts updates.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *("policy_loss", "policy_gradient_norm", "entropy"),
        *("critic_loss", "critic_gradient_norm"),
    )

    rollout_steps: int = positive(1)
    discount: float = fraction(0.99)
    entropy_weight: float = attrs.field(default=0.01, validator=attrs.validators.ge(0))
    critic_learning_rate: float | Schedule = 3e-3

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        policy = Network(self.distribution(spec).num_outputs)
        return {"policy": policy, "critic": Network(1, learning_rate=self.critic_learning_rate)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=self.rollout_steps, order="all", discount=self.discount)

    def update(self, memory: Memory, seed: Seed) -> Update:
        rollout = memory.sample(child(seed, "memory"))  # leaves [B, T, ...]

        # [B * T] rows, and what their values should have been.
        next_values = tf.reshape(self.values(merge_time(rollout.next_observation)), rollout.reward.shape)
        batch, expected = merge_time((rollout, targets(rollout, next_values, self.discount)))

        policy, _ = self.minimize("policy", lambda: self._policy_loss(batch, expected), child(seed, "policy"))
        critic, _ = self.minimize("critic", lambda: self._critic_loss(batch, expected), child(seed, "critic"))
        return Update({**policy, **critic})

    def values(self, observation: Nest) -> Tensor:
        """Returns the critic's values `[N]` of observations `[N, *O]`."""
        return infer(self.trained["critic"].models[0], self.spec.see(observation))[0][:, 0]

    def _policy_loss(self, batch: Batch, expected: Tensor) -> Loss:
        policy = self.distribution(self.spec).of(self.trained["policy"](self.spec.see(batch.observation), training=True))
        if self.spec.has_mask:
            policy = policy.masked(batch.observation[MASK])
        loss, entropy = policy_loss(policy, batch.action, expected - self.values(batch.observation))
        return Loss(loss - self.entropy_weight * entropy, {"entropy": tf.reduce_mean(entropy)}, weight=batch.weight)

    def _critic_loss(self, batch: Batch, expected: Tensor) -> Loss:
        values = self.trained["critic"](self.spec.see(batch.observation), training=True)[:, 0]
        return Loss(tf.square(expected - values), weight=batch.weight)
