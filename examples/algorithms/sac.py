"""Soft actor-critic in one file: a squashed policy, two critics with target networks, and a learned temperature.

Run it with `agentlab run --plugin examples/algorithms/sac.py sac-pendulum`.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.distribution import SquashedNormal
from agentlab.memory import Memory, Request
from agentlab.seeds import child
from agentlab.spec import Array, EnvironmentSpec, describe
from agentlab.task import Evaluation, Task, part
from agentlab.trainer import Loss, Network, Setup, Trainer, Update, fraction, positive
from agentlab.types import Batch, Seed, Tensor


@attrs.define(slots=False, eq=False)
class SAC(Trainer):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905).

    Attributes:
        discount: discount factor of the return, 0 to 1.
        target_update_rate: how far the target critics move to the critics after each update.
        temperature_learning_rate: of the gradient descent on the logarithm of the temperature.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *("critic_loss", "critic_gradient_norm", "policy_loss", "policy_gradient_norm"),
        *("entropy", "temperature"),
    )

    learning_starts: int = 500
    update_period: int | None = positive(1)
    discount: float = fraction(0.99)
    target_update_rate: float = fraction(0.01)
    temperature_learning_rate: float = positive(3e-3)

    def distribution(self, spec: EnvironmentSpec) -> SquashedNormal:
        action = spec.action
        if not isinstance(action, Array) or not action.is_bounded:
            raise errors.UsageError(
                f"SAC needs actions that are numbers within bounds; environment {spec.name!r} takes a {describe(action)}."
            )
        return SquashedNormal(shape=action.shape, low=action.low, high=action.high)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        critic = Network(1, inputs=("observation", "action"), count=2)
        return {"policy": Network(self.distribution(spec).num_outputs), "critic": critic}

    def request(self) -> Request:
        return Request(discount=self.discount, priority=True)

    def build(self, setup: Setup) -> None:
        super().build(setup)
        self.targets = [TargetNetwork(model, 1, self.target_update_rate) for model in setup.models["critic"]]
        self.log_temperature = tf.Variable(0.0, trainable=False)
        self._target_entropy = -float(setup.spec.action.num_features)

    def update(self, memory: Memory, seed: Seed) -> Update:
        batch = memory.sample(child(seed, "memory"))  # leaves [N, ...]
        critic, error = self.minimize("critic", lambda: self._critic_loss(batch, child(seed, "next")), seed)
        policy, _ = self.minimize("policy", lambda: self._policy_loss(batch, child(seed, "action")), seed)
        excess = policy["entropy"] - self._target_entropy
        self.log_temperature.assign_sub(self.temperature_learning_rate * excess)
        for target in self.targets:
            target.follow()
        return Update({**critic, **policy, "temperature": self.temperature}, batch.place, error)

    @property
    def temperature(self) -> Tensor:
        """What entropy is worth in the return, scalar."""
        return tf.exp(self.log_temperature.read_value())

    def _critic_loss(self, batch: Batch, seed: Seed) -> Loss:
        # [N] value of what followed: the smaller of the two targets' estimates, and what the next action's entropy is worth.
        next_action, log_probability = self._policy(batch.next_observation, seed, training=False)
        inputs = self.inputs("critic", batch.next_observation, next_action)
        next_values = tf.reduce_min([target.output(inputs)[:, 0] for target in self.targets], axis=0)
        next_values -= self.temperature * log_probability
        target = tf.stop_gradient(batch.reward + self.discount * batch.discount * next_values)

        values = self.trained["critic"](self.inputs("critic", batch.observation, batch.action), training=True)[..., 0]  # [2, N]
        errors = values - target
        return Loss(tf.reduce_sum(0.5 * tf.square(errors), axis=0), priority=tf.reduce_mean(tf.abs(errors), axis=0))

    def _policy_loss(self, batch: Batch, seed: Seed) -> Loss:
        action, log_probability = self._policy(batch.observation, seed, training=True)
        values = self.trained["critic"](self.inputs("critic", batch.observation, action))[..., 0]
        loss = self.temperature * log_probability - tf.reduce_min(values, axis=0)
        return Loss(loss, {"entropy": -tf.reduce_mean(log_probability)})

    def _policy(self, observation: Tensor, seed: Seed, training: bool) -> tuple[Tensor, Tensor]:
        output = self.trained["policy"](self.spec.see(observation), training=training)
        return self.distribution(self.spec).of(output).sample_with_log_probability(seed)


sac_pendulum = Task(
    name="sac-pendulum",
    description="SAC swings a pendulum up.",
    environment=part("pendulum"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("sac", learning_rate=3e-3),
    sampler=part("stochastic"),
    memory=part("replay", capacity=50_000, batch_size=128),
    steps=10_000,
    report_period=1_000,
    evaluation=Evaluation(episodes=10),
)
