"""The PQN trainer: action values learned from rollouts of many environments, without replay or target network."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.advantages import lambda_returns
from agentlab.algorithms.minibatches import check_division, epochs_over, merge_time
from agentlab.distribution import ActionValues
from agentlab.fields import fraction, optional_positive, positive
from agentlab.memory import Memory, Request
from agentlab.model import as_network
from agentlab.schedules import Schedule
from agentlab.spec import EnvironmentSpec
from agentlab.spec.environment_spec import MASK
from agentlab.tensors.selection import selected
from agentlab.trainer import Loss, Network, Setup, Trainer, Update, rate
from agentlab.types import Batch, Metrics, Seed, Tensor
from agentlab_dqn.advice import num_actions


@attrs.define(slots=False, eq=False)
class PQN(Trainer):
    """Parallelised Q-network (Gallici et al. 2024, arXiv:2407.04811): lambda-returns of the last rollout instead of replay.

    There is no target network: normalization layers in the model keep the values from running away (`model.normalization`). A
    truncated episode bootstraps from its final observation, a terminated one does not, and nothing is learned across a reset.
    Schedules count the optimizer's steps; without a length they span the budget.

    Attributes:
        rollout_steps: T, steps of every environment that an update learns from.
        discount: discount factor of the return, 0 to 1.
        trace_decay: lambda of the returns, 0 for one-step returns to 1 for whole ones.
        num_epochs: passes over a rollout.
        num_minibatches: of each pass, all of the same size.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("loss", "gradient_norm", "q_mean", "error")

    learning_rate: float | Schedule = rate(2.5e-4)
    max_gradient_norm: float | None = optional_positive(10.0)
    rollout_steps: int = positive(32)
    discount: float = fraction(0.99)
    trace_decay: float = fraction(0.65)
    num_epochs: int = positive(2)
    num_minibatches: int = positive(4)

    def distribution(self, spec: EnvironmentSpec) -> ActionValues:
        return ActionValues(num_values=num_actions("PQN", spec))

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        return {"values": Network(self.distribution(spec).num_outputs)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=self.rollout_steps, order="all", discount=self.discount)

    def optimizer_steps(self) -> int:
        return self.num_epochs * self.num_minibatches

    def build(self, setup: Setup) -> None:
        (model,) = setup.models["values"]
        if tf.nest.flatten(as_network(model).initial_state(1)):
            raise errors.UsageError(
                f"PQN values single observations; model {model.name!r} carries a state from step to step. Choose another."
            )
        remedy = "Set trainer.num_minibatches so, or change num_environments or trainer.rollout_steps."
        check_division(setup.num_environments * self.rollout_steps, self.num_minibatches, remedy)
        super().build(setup)
        self._distribution = self.distribution(setup.spec)

    def update(self, memory: Memory, seed: Seed) -> Update:
        # [B, T] returns, by the values as they are.
        rollout = memory.sample(seeds.child(seed, "memory"))
        returns = lambda_returns(
            rollout.reward, rollout.discount, rollout.ended, self.next_values(rollout), self.discount, self.trace_decay
        )

        # [B * T] rows, which epochs of minibatches go over.
        rows = merge_time((attrs.evolve(rollout, next_observation=()), returns))
        epochs, seed = (self.num_epochs, self.num_minibatches), seeds.child(seed, "epochs")
        return Update(epochs_over(rows, *epochs, seed, self._improve, self.metric_names))

    def next_values(self, rollout: Batch) -> Tensor:
        """Returns the value of the best action after each step of a rollout, `[B, T]`; traceable."""
        observation = merge_time(rollout.next_observation)
        values = self._distribution.of(self.acting(self.spec.see(observation)))
        allowed = values.masked(observation[MASK]) if self.spec.has_mask else values
        return tf.reshape(tf.reduce_max(allowed.logits, axis=-1), rollout.reward.shape)

    def _improve(self, minibatch: tuple[Batch, Tensor], seed: Seed) -> Metrics:
        batch, returns = minibatch

        def loss() -> Loss:
            values = self.acting(self.spec.see(batch.observation), training=True)
            chosen = selected(values, batch.action)
            error = returns - chosen
            means = {"q_mean": tf.reduce_mean(chosen), "error": tf.reduce_mean(tf.abs(error))}
            return Loss(0.5 * tf.square(error), means, weight=batch.weight)

        metrics, _ = self.minimize("values", loss, seed)
        return {name.removeprefix("values_"): value for name, value in metrics.items()}
