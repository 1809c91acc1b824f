"""The SAC trainer: a stochastic policy that earns reward and entropy, critics, and a temperature that weighs the two."""

from __future__ import annotations

import math
from typing import ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab import schedules, seeds
from agentlab.algorithms.critic_settings import averaging_rate, check_stateless, steps_of_return
from agentlab.algorithms.critics import Critics
from agentlab.algorithms.optimizers import make_optimizer
from agentlab.algorithms.soft_values import soft_values_of
from agentlab.distribution import Distribution
from agentlab.fields import check_not_negative, fraction, non_negative, positive
from agentlab.memory import Request
from agentlab.spec import EnvironmentSpec
from agentlab.tensors.parameters import Updater
from agentlab.trainer import Loss, Network, Setup, Trainer, Update, rate
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor
from agentlab_actor_critic.delayed import Delayed

POLICY_METRICS = ("policy_loss", "policy_gradient_norm", "entropy", "temperature")


@attrs.define(slots=False, eq=False)
class SAC(Trainer):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905), for numbers within bounds and, exactly, for one choice.

    The policy earns reward, and `temperature` for each nat of its entropy. Actions count as scaled to -1 to 1, so that their
    bounds change nothing. A truncated episode bootstraps from its final observation, a terminated one does not.

    Attributes:
        discount: discount factor of the return, 0 to 1.
        num_steps: n, steps of rewards before the value of what follows; 1 for one-step targets.
        num_critics: of which the smallest value counts; 2 in the paper.
        target_update_rate: how far the target networks move to the critics after each update; None for no target networks, for
            critics with batch normalization (CrossQ; Bhatt et al. 2024, arXiv:1902.05605).
        policy_period: updates of the critics from one of the policy and the temperature to the next.
        initial_temperature: what a nat of entropy is worth at first, greater than 0.
        temperature_learning_rate: of the logarithm of the temperature; None for the trainer's learning rate, 0 for a
            temperature that stays as it is. A schedule counts updates of the policy.
        target_entropy: to which the temperature leads the policy's entropy, in nats; None for minus the number of elements of
            an action, and for choices for 0.98 of the largest entropy (Christodoulou 2019, arXiv:1910.07207).
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *("critic_loss", "critic_gradient_norm", "q_mean", "error"),
        *POLICY_METRICS,
    )

    learning_rate: float | schedules.Schedule = rate(3e-4)
    learning_starts: int = non_negative(1_000)
    update_period: int = positive(1)
    discount: float = fraction(0.99)
    num_steps: int = steps_of_return()
    num_critics: int = positive(2)
    target_update_rate: float | None = averaging_rate(0.005)
    policy_period: int = positive(1)
    initial_temperature: float = positive(1.0)
    temperature_learning_rate: float | schedules.Schedule | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_not_negative)
    )
    target_entropy: float | None = None

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        return soft_values_of(spec, type(self).__name__).distribution

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        soft = soft_values_of(spec, type(self).__name__)
        policy = Network(soft.distribution.num_outputs, update_period=self.policy_period)
        return {"policy": policy, "critic": attrs.evolve(soft.critic, count=self.num_critics)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(self.num_steps, self.discount, priority=True)

    def build(self, setup: Setup) -> None:
        check_stateless([model for models in setup.models.values() for model in models], type(self).__name__)
        super().build(setup)
        self._soft = soft_values_of(setup.spec, type(self).__name__)
        self._critics = Critics(self.trained["critic"], self._critic_inputs, self.target_update_rate)
        self._policy_updates = Delayed(self.policy_period, POLICY_METRICS)

        # The temperature has an optimizer of its own, of the kind that networks have.
        rate = self.learning_rate if self.temperature_learning_rate is None else self.temperature_learning_rate
        spanning = self.spanning_updates(rate, setup, self.policy_period)
        optimizer = make_optimizer(self.optimizer, spanning, is_first=False)
        self._log_temperature = keras.Variable(math.log(self.initial_temperature), dtype="float32", name="log_temperature")
        self._temperature_updater = Updater(optimizer, [self._log_temperature])

    def _critic_inputs(self, observation: Nest, action: Nest) -> Nest:
        return self.inputs("critic", observation, action)

    @property
    def temperature(self) -> Tensor:
        """What a nat of entropy is worth in the return, scalar."""
        return tf.exp(tf.convert_to_tensor(self._log_temperature.value))

    def learn(self, batch: Batch, seed: Seed) -> Update:
        critic, error = self.minimize("critic", lambda: self._critic_loss(batch, seed), seeds.child(seed, "critic"))
        self._critics.follow()
        policy = self._policy_updates(lambda: self._improve_policy(batch, seeds.child(seed, "policy")))
        return Update({**critic, **policy}, batch.place, error)

    def _critic_loss(self, batch: Batch, seed: Seed) -> Loss:
        # What the policy would do next, and what that is worth: [N].
        output = self.trained["policy"](self.spec.see(batch.next_observation))
        next_action, log_probability = self._soft.draw(output, batch.next_observation, seeds.child(seed, "next_action"))
        action = self._soft.scaled(batch.action)
        outputs, next_outputs = self._critics.values_and_next(batch.observation, action, batch.next_observation, next_action)
        next_value, _ = self._soft.value(log_probability, next_outputs, self.temperature)
        target = tf.stop_gradient(batch.reward + self.discount * batch.discount * next_value)

        # [C, N] how far off each critic was.
        values = self._soft.taken(outputs, batch.action)
        difference = values - target
        error = tf.reduce_mean(tf.abs(difference), axis=0)
        loss = tf.reduce_sum(0.5 * tf.square(difference), axis=0)
        return Loss(loss, {"q_mean": tf.reduce_mean(values), "error": error}, error, batch.weight)

    def _improve_policy(self, batch: Batch, seed: Seed) -> Metrics:
        metrics, _ = self.minimize("policy", lambda: self._policy_loss(batch, seeds.child(seed, "action")), seed)
        excess = metrics["entropy"] - self._target_entropy()
        self._temperature_updater.apply([excess])
        return {**metrics, "temperature": self.temperature}

    def _policy_loss(self, batch: Batch, seed: Seed) -> Loss:
        output = self.trained["policy"](self.spec.see(batch.observation), training=True)
        action, log_probability = self._soft.draw(output, batch.observation, seed)
        value, entropy = self._soft.value(log_probability, self._critics.values(batch.observation, action), self.temperature)
        return Loss(-value, {"entropy": tf.reduce_mean(entropy)}, weight=batch.weight)

    def _target_entropy(self) -> float:
        return self._soft.target_entropy if self.target_entropy is None else self.target_entropy
