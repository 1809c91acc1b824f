"""The TD3 trainer: a deterministic policy that follows the gradient of critics; DDPG as a setting of it."""

from __future__ import annotations

from typing import ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab import schedules, seeds
from agentlab.algorithms.bounds import bounds_of
from agentlab.algorithms.critic_settings import averaging_rate, check_stateless, steps_of_return
from agentlab.algorithms.critics import Critics, total
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.distribution import Distribution
from agentlab.fields import fraction, non_negative, positive
from agentlab.memory import Request
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Loss, Network, Setup, Trainer, Update, rate
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor
from agentlab_actor_critic.delayed import Delayed
from agentlab_actor_critic.squashed import Squashed

POLICY_METRICS = ("policy_loss", "policy_gradient_norm")


@attrs.define(slots=False, eq=False)
class TD3(Trainer):
    """Twin delayed deep deterministic policy gradient (Fujimoto, van Hoof and Meger 2018, arXiv:1802.09477).

    With one critic, a `policy_period` of 1 and no `target_noise` it is DDPG (Lillicrap et al. 2016, arXiv:1509.02971). Its
    policy does not explore by itself: choose a sampler that adds noise. Noise counts as of actions scaled to -1 to 1. A
    truncated episode bootstraps from its final observation, a terminated one does not.

    Attributes:
        discount: discount factor of the return, 0 to 1.
        num_steps: n, steps of rewards before the value of what follows; 1 for one-step targets.
        num_critics: of which the smallest value counts; the policy learns from the first.
        policy_period: updates of the critics from one of the policy, and of all target networks, to the next.
        target_update_rate: how far the target networks then move, greater than 0 and at most 1.
        target_noise: standard deviation of the noise in the next action, 0 or greater.
        target_noise_limit: largest size of that noise, greater than 0.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *("critic_loss", "critic_gradient_norm", "q_mean", "error"),
        *POLICY_METRICS,
    )

    learning_rate: float | schedules.Schedule = rate(1e-3)
    learning_starts: int = non_negative(1_000)
    update_period: int = positive(1)
    discount: float = fraction(0.99)
    num_steps: int = steps_of_return()
    num_critics: int = positive(2)
    policy_period: int = positive(2)
    target_update_rate: float = averaging_rate(0.005)
    target_noise: float = non_negative(0.2)
    target_noise_limit: float = positive(0.5)

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        bounds = bounds_of(spec, type(self).__name__)
        return Squashed(shape=bounds.low.shape, low=bounds.low, high=bounds.high)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        critic = Network(1, inputs=("observation", "action"), count=self.num_critics)
        return {"policy": Network(self.distribution(spec).num_outputs, update_period=self.policy_period), "critic": critic}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(self.num_steps, self.discount, priority=True)

    def build(self, setup: Setup) -> None:
        check_stateless([model for models in setup.models.values() for model in models], type(self).__name__)
        super().build(setup)
        self._bounds = bounds_of(setup.spec, type(self).__name__)
        ones = np.ones(self._bounds.low.shape, np.float32)
        self._unit = Squashed(shape=ones.shape, low=-ones, high=ones)

        # Critics and policy each have a target network.
        self._critics = Critics(self.trained["critic"], self._critic_inputs, self.target_update_rate)
        self._target_policy = TargetNetwork(self.model, 1, self.target_update_rate)
        self._policy_updates = Delayed(self.policy_period, POLICY_METRICS)

    def _critic_inputs(self, observation: Nest, action: Nest) -> Nest:
        return self.inputs("critic", observation, action)

    def learn(self, batch: Batch, seed: Seed) -> Update:
        critic, error = self.minimize("critic", lambda: self._critic_loss(batch, seed), seeds.child(seed, "critic"))
        policy = self._policy_updates(lambda: self._improve_policy(batch, seeds.child(seed, "policy")))
        return Update({**critic, **policy}, batch.place, error)

    def _critic_loss(self, batch: Batch, seed: Seed) -> Loss:
        # [N] the smallest value of the target policy's next action, with noise.
        next_action = self._next_action(batch.next_observation, seeds.child(seed, "target_noise"))
        action = self._bounds.to_unit(batch.action)
        outputs, next_outputs = self._critics.values_and_next(batch.observation, action, batch.next_observation, next_action)
        next_value = tf.reduce_min(total(next_outputs), axis=0)
        target = tf.stop_gradient(batch.reward + self.discount * batch.discount * next_value)

        # [C, N] how far off each critic was.
        values = total(outputs)
        difference = values - target
        error = tf.reduce_mean(tf.abs(difference), axis=0)
        loss = tf.reduce_sum(0.5 * tf.square(difference), axis=0)
        return Loss(loss, {"q_mean": tf.reduce_mean(values), "error": error}, error, batch.weight)

    def _next_action(self, observation: Nest, seed: Seed) -> Tensor:
        """Returns scaled actions `[N, *A]` of the target policy, with noise that smooths the critics."""
        action = self._unit.of(self._target_policy.output(self.spec.see(observation))).mode()
        if not self.target_noise:
            return action
        noise = self.target_noise * seeds.normal(seed, tf.shape(action))
        limited = tf.clip_by_value(noise, -self.target_noise_limit, self.target_noise_limit)
        return tf.clip_by_value(action + limited, -1.0, 1.0)

    def _improve_policy(self, batch: Batch, seed: Seed) -> Metrics:
        metrics, _ = self.minimize("policy", lambda: self._policy_loss(batch), seed)
        self._critics.follow()
        self._target_policy.follow()
        return metrics

    def _policy_loss(self, batch: Batch) -> Loss:
        output = self.trained["policy"](self.spec.see(batch.observation), training=True)
        action = self._unit.of(output).mode()
        return Loss(-total(self._critics.values(batch.observation, action, count=1))[0], weight=batch.weight)
