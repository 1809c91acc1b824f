"""Recurrent PPO in one file: an LSTM balances CartPole without being shown its velocities.

One network gives the policy's outputs and, after them, the value. Its state is stored with every step; updates unroll whole
sequences from the state at their beginning. Run it with
`agentlab run --plugin examples/algorithms/recurrent_ppo.py recurrent-ppo-cartpole`.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab.algorithms.advantages import generalized_advantages
from agentlab.algorithms.minibatches import epochs_over, merge_time
from agentlab.environment import DeviceEnvironment
from agentlab.fields import fraction, positive
from agentlab.memory import Memory, Request
from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.schedules import Linear, Schedule
from agentlab.spec import Array, EnvironmentSpec
from agentlab.task import Evaluation, Task, part
from agentlab.trainer import Loss, Network, Trainer, Update
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor


@attrs.define(slots=False, eq=False)
class RecurrentPPO(Trainer):
    """Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347) of a network with a state.

    Attributes:
        rollout_steps: T, steps of every environment that an update learns from.
        discount: discount factor of the return, 0 to 1.
        trace_decay: lambda of the advantages, 0 to 1.
        num_epochs: passes over a rollout.
        num_minibatches: of each pass, whole sequences each.
        clip: how far the probability of an action may move from 1 before it stops counting.
        return_scale: of the returns, by which the network's values are divided, so that they are about as large as 1.
        value_weight: of the squared error of values, so divided, in the loss.
        entropy_weight: of the policy's entropy in the loss.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("policy_loss", "policy_gradient_norm", "entropy", "value_error")

    learning_rate: float | Schedule = attrs.field(factory=lambda: Linear(3e-3, 1e-5))
    max_gradient_norm: float | None = 0.5
    rollout_steps: int = positive(64)
    discount: float = fraction(0.99)
    trace_decay: float = fraction(0.95)
    num_epochs: int = positive(4)
    num_minibatches: int = positive(4)
    clip: float = positive(0.2)
    return_scale: float = positive(50.0)
    value_weight: float = positive(0.5)
    entropy_weight: float = 0.005

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        return {"policy": Network(self.distribution(spec).num_outputs + 1)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=self.rollout_steps, order="all", keep=("output", "state"), discount=self.discount)

    def optimizer_steps(self) -> int:
        return self.num_epochs * self.num_minibatches

    def update(self, memory: Memory, seed: Seed) -> Update:
        rollout = memory.sample(seed)  # leaves [B, T, ...]
        network, shape = self.acting.network, rollout.reward.shape

        # [B, T] values of what the actions led to, by the state that the network had there.
        _, after = network(merge_time(rollout.observation), merge_time(rollout.state))
        beyond, _ = network(merge_time(rollout.next_observation), after)
        values = self.return_scale * rollout.output[..., -1]
        next_values = self.return_scale * tf.reshape(beyond[:, -1], shape)
        advantages = generalized_advantages(
            rollout.reward, rollout.discount, rollout.ended, values, next_values, self.discount, self.trace_decay
        )

        # [B] sequences, of which a minibatch has some.
        start = tf.nest.map_structure(lambda leaf: leaf[:, 0], rollout.state)
        data = (attrs.evolve(rollout, state=start), advantages, advantages + values)
        return Update(epochs_over(data, self.num_epochs, self.num_minibatches, seed, self._improve, self.metric_names))

    def _improve(self, minibatch: Nest, seed: Seed) -> Metrics:
        return self.minimize("policy", lambda: self._loss(*minibatch), seed)[0]

    def _loss(self, batch: Batch, advantages: Tensor, returns: Tensor) -> Loss:
        begun = tf.concat([tf.zeros_like(batch.ended[:, :1]), batch.ended[:, :-1]], axis=1)
        output, _ = self.acting.network.unroll_as_acted(batch.observation, batch.state, begun)

        # [M * T] rows.
        actions, output, before = merge_time((batch.action, output, batch.output))
        policy, old = (self.distribution(self.spec).of(values[:, :-1]) for values in (output, before))
        advantages, returns = merge_time((advantages, returns))

        ratio = tf.exp(policy.log_probability(actions) - old.log_probability(actions))
        mean, variance = tf.nn.moments(advantages, axes=[0])
        normalized = (advantages - mean) / tf.sqrt(variance + 1e-8)
        gain = tf.minimum(ratio * normalized, tf.clip_by_value(ratio, 1.0 - self.clip, 1.0 + self.clip) * normalized)
        error, entropy = tf.square(returns / self.return_scale - output[:, -1]), policy.entropy()
        loss = self.value_weight * error - gain - self.entropy_weight * entropy
        metrics = {"entropy": tf.reduce_mean(entropy), "value_error": tf.reduce_mean(error)}
        return Loss(loss, metrics, weight=merge_time(batch.weight))


class LSTMNetwork(RecurrentModel):
    """Observations through an LSTM cell to outputs."""

    def __init__(self, units: int, num_outputs: int) -> None:
        super().__init__()
        self.cell = keras.layers.LSTMCell(units)
        self.head = keras.layers.Dense(num_outputs)

    def initial_state(self, batch_size: int) -> Nest:
        zeros = tf.zeros([batch_size, self.cell.units])
        return zeros, zeros

    def call(self, observation: Tensor, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        features, after = self.cell(observation, state)
        return self.head(features), tuple(after)


@attrs.frozen
class FeatureLSTM(ModelBuilder):
    """An LSTM over the observations (Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735).

    Attributes:
        units: of the LSTM.
    """

    units: int = positive(64)

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        return LSTMNetwork(self.units, num_outputs)


@attrs.frozen(slots=False)
class CartPoleWithoutVelocities(DeviceEnvironment):
    """CartPole of which only the cart's position and the pole's angle are shown, as shares of their limits."""

    def __attrs_post_init__(self) -> None:
        from agentlab.registry import plugins

        object.__setattr__(self, "_whole", plugins.load("environment", "cartpole")())

    @property
    def spec(self) -> EnvironmentSpec:
        return attrs.evolve(self._whole.spec, name="cartpole without velocities", observation=Array((2,)))

    def initial(self, seed: Seed, batch: int) -> Nest:
        return self._whole.initial(seed, batch)

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        return self._whole.transition(state, action, seed)

    def observe(self, state: Nest) -> Tensor:
        position, _, angle, _ = tf.unstack(self._whole.observe(state), axis=1)
        return tf.stack([position / 2.4, angle / 0.21], axis=1)  # 1 at the limits


recurrent_ppo_cartpole = Task(
    name="recurrent-ppo-cartpole",
    description="Recurrent PPO balances CartPole without velocities.",
    environment=part("cart-pole-without-velocities"),
    model=part("feature-lstm"),
    trainer=part("recurrent-ppo"),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=150_000,
    num_environments=16,
    report_period=15_000,
    evaluation=Evaluation(episodes=20),
)
