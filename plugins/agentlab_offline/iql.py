"""The IQL trainer: values of what was done, and a policy that imitates what was better than expected."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import schedules, seeds
from agentlab.algorithms.critic_settings import averaging_rate, check_stateless
from agentlab.algorithms.critics import Critics
from agentlab.algorithms.soft_values import soft_values_of
from agentlab.distribution import Distribution
from agentlab.fields import fraction, non_negative, positive
from agentlab.memory import Request
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Loss, Network, Setup, Trainer, Update, rate
from agentlab.types import Batch, Nest, Seed, Tensor
from agentlab_offline.recorded_actions import policy_distribution, policy_network

LARGEST_WEIGHT = 100.0  # of an action in the policy's loss, as published


@attrs.define(slots=False, eq=False)
class IQL(Trainer):
    """Implicit Q-learning (Kostrikov, Nair and Levine 2021, arXiv:2110.06169), for one choice or numbers within bounds.

    A value network learns an upper expectile of what actions that were taken are worth, critics bootstrap from it, and the
    policy imitates actions by the exponential of their advantage. No action is valued that nobody took. A truncated episode
    bootstraps from its final observation, a terminated one does not.

    Attributes:
        discount: discount factor of the return, 0 to 1.
        expectile: of the value, 0 to 1: 0.5 values what was done on average, near 1 the best of it.
        inverse_temperature: how much a unit of advantage counts for the policy, 0 or greater; with 0 it clones.
        target_update_rate: how far the target networks of the critics move after each update, greater than 0 and at most 1.
        num_critics: of which the smallest value counts.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *("value_loss", "value_gradient_norm", "advantage"),
        *("critic_loss", "critic_gradient_norm", "q_mean"),
        *("policy_loss", "policy_gradient_norm"),
    )

    learning_rate: float | schedules.Schedule = rate(3e-4)
    discount: float = fraction(0.99)
    expectile: float = fraction(0.7)
    inverse_temperature: float = non_negative(3.0)
    target_update_rate: float = averaging_rate(0.005)
    num_critics: int = positive(2)

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        return policy_distribution(spec)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        critic = soft_values_of(spec, type(self).__name__).critic
        return {"policy": policy_network(spec), "critic": attrs.evolve(critic, count=self.num_critics), "value": Network(1)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(discount=self.discount)

    def build(self, setup: Setup) -> None:
        check_stateless([model for models in setup.models.values() for model in models], type(self).__name__)
        super().build(setup)
        self._values = soft_values_of(setup.spec, type(self).__name__)
        self._critics = Critics(self.trained["critic"], self._critic_inputs, self.target_update_rate)

    def _critic_inputs(self, observation: Nest, action: Nest) -> Nest:
        return self.inputs("critic", observation, action)

    def learn(self, batch: Batch, seed: Seed) -> Update:
        # [N] what the actions are worth by the target critics, the smallest of their answers.
        action = self._values.scaled(batch.action)
        outputs = self._critics.target_values(batch.observation, action)
        worth = tf.reduce_min(self._values.taken(outputs, batch.action), axis=0)

        # The value first, by which policy and critics then go.
        value, _ = self.minimize("value", lambda: self._value_loss(batch, worth), seeds.child(seed, "value"))
        policy, _ = self.minimize("policy", lambda: self._policy_loss(batch, worth), seeds.child(seed, "policy"))
        critic, _ = self.minimize("critic", lambda: self._critic_loss(batch, action), seeds.child(seed, "critic"))
        self._critics.follow()
        return Update({**value, **policy, **critic}, batch.place)

    def _value(self, observation: Nest, training: bool = False) -> Tensor:
        """Returns the values `[N]` of observations `[N, *O]`."""
        return self.trained["value"](self.spec.see(observation), training=training)[..., 0]

    def _value_loss(self, batch: Batch, worth: Tensor) -> Loss:
        # [N] what is above the value weighs more than what is below it.
        advantage = worth - self._value(batch.observation, training=True)
        side = tf.where(advantage < 0.0, 1.0 - self.expectile, self.expectile)
        return Loss(side * tf.square(advantage), {"advantage": tf.reduce_mean(advantage)}, weight=batch.weight)

    def _critic_loss(self, batch: Batch, action: Nest) -> Loss:
        # [N] what the critics should say: the reward, and the value of what followed.
        beyond = self._value(batch.next_observation)
        target = tf.stop_gradient(batch.reward + self.discount * batch.discount * beyond)
        values = self._values.taken(self._critics.values(batch.observation, action, training=True), batch.action)  # [C, N]
        loss = tf.reduce_sum(tf.square(values - target), axis=0)
        return Loss(loss, {"q_mean": tf.reduce_mean(values)}, weight=batch.weight)

    def _policy_loss(self, batch: Batch, worth: Tensor) -> Loss:
        # [N] how much each action counts: the more, the better it was than expected.
        advantage = tf.stop_gradient(worth - self._value(batch.observation))
        weight = tf.minimum(tf.exp(self.inverse_temperature * advantage), LARGEST_WEIGHT)
        output = self.trained["policy"](self.spec.see(batch.observation), training=True)
        return Loss(-weight * self.distribution(self.spec).of(output).log_probability(batch.action), weight=batch.weight)
