"""A text agent taught by reward in one file: to write one symbol more often, without leaving its original too far.

An episode is a text of 16 symbols, one a step; the last step's reward is the number of symbols 1 among them. The policy
gradient compares each text with the batch's mean, and a penalty holds the policy near a copy of what it was. Run it with
`agentlab run --plugin examples/algorithms/text_reward.py text-reward`.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.algorithms.advantages import discounted_sums
from agentlab.algorithms.minibatches import merge_time
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.environment import DeviceEnvironment
from agentlab.fields import positive
from agentlab.memory import Memory, Request
from agentlab.seeds import child
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Evaluation, Task, part
from agentlab.trainer import Loss, Setup, Trainer, Update
from agentlab.types import Batch, Nest, Seed, Tensor

SYMBOLS = 6
LENGTH = 16  # symbols of a text


@attrs.frozen
class Writing(DeviceEnvironment):
    """Shows the symbol written last; the reward comes with the last symbol of a text."""

    @property
    def spec(self) -> EnvironmentSpec:
        return EnvironmentSpec("writing", Array((1,), "int64", 0, SYMBOLS - 1), Discrete(SYMBOLS))

    def initial(self, seed: Seed, batch: int) -> Nest:
        zeros = tf.zeros([batch], tf.int64)
        return {"symbol": zeros, "written": zeros, "ones": zeros}

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        written = state["written"] + 1
        ones = state["ones"] + tf.cast(action == 1, tf.int64)
        ended = written >= LENGTH
        reward = tf.where(ended, tf.cast(ones, tf.float32), 0.0)
        return {"symbol": action, "written": written, "ones": ones}, reward, ended, ()

    def observe(self, state: Nest) -> Tensor:
        return state["symbol"][:, None]


@attrs.define(slots=False, eq=False)
class TextReward(Trainer):
    """A policy gradient over whole texts, with a penalty for leaving the original policy.

    Attributes:
        penalty: of the Kullback-Leibler divergence from the original, in units of the reward per nat.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("policy_loss", "policy_gradient_norm", "text_reward", "divergence")

    penalty: float = positive(0.1)

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=LENGTH, order="all", keep=("output", "state"))

    def build(self, setup: Setup) -> None:
        super().build(setup)
        self.original = TargetNetwork(self.model, 1, 1.0)  # which is never told to follow

    def update(self, memory: Memory, seed: Seed) -> Update:
        texts = memory.sample(child(seed, "memory"))  # leaves [B, T, ...]: texts begin and end with the rollout
        metrics, _ = self.minimize("policy", lambda: self._loss(texts), seed)
        return Update(metrics)

    def _loss(self, texts: Batch) -> Loss:
        # [B, T] reward of each whole text, compared with the mean of all.
        going_on = tf.where(texts.ended, 0.0, 1.0)
        reward = discounted_sums(texts.reward, going_on)
        advantage = reward - tf.reduce_mean(reward[:, 0])

        state = tf.nest.map_structure(lambda leaf: leaf[:, 0], texts.state)
        output, _ = self.acting.network.unroll_as_acted(texts.observation, state, tf.zeros_like(texts.ended))
        original = self.original.unroll(texts.observation, state, tf.zeros_like(texts.ended))

        # [B * T] nats between the policy and the original, and the log-probability of what was written.
        output, original, action, advantage = merge_time((output, original, texts.action, advantage))
        log_policy, log_original = tf.nn.log_softmax(output), tf.stop_gradient(tf.nn.log_softmax(original))
        divergence = tf.reduce_sum(tf.exp(log_policy) * (log_policy - log_original), axis=-1)
        written = self.distribution(self.spec).of(output).log_probability(action)
        metrics = {"text_reward": tf.reduce_mean(reward[:, 0]), "divergence": tf.reduce_mean(divergence)}
        return Loss(self.penalty * divergence - advantage * written, metrics)


text_reward = Task(
    name="text-reward",
    description="A recurrent network learns to write one symbol more often.",
    environment=part("writing"),
    model=part("gru", units=32),
    trainer=part("text-reward", learning_rate=3e-3, penalty=1.0),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=64_000,
    num_environments=32,
    report_period=6_400,
    evaluation=Evaluation(sampler=part("stochastic"), episodes=64),
)
