"""Proximal policy optimization."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.algorithms.minibatches import check_division, epochs_over
from agentlab.algorithms.policy_gradients import approximate_divergence, clipped_gain, normalized, value_error
from agentlab.distribution import Distribution
from agentlab.fields import fraction, optional_positive, positive, scheduled
from agentlab.memory import Memory
from agentlab.schedules import Schedule
from agentlab.trainer import Loss, Setup, Update, rate
from agentlab.types import Metrics, Seed, Tensor
from agentlab_policy_gradient.experience import Experience
from agentlab_policy_gradient.trainer import PolicyGradient


@attrs.define(slots=False, eq=False)
class PPO(PolicyGradient):
    """Proximal policy optimization with clipping (Schulman et al. 2017, arXiv:1707.06347).

    Schedules count the optimizer's steps; without a length they span the budget.

    Attributes:
        trace_decay: lambda of the generalized advantages, 0 to 1.
        num_epochs: passes over a rollout.
        num_minibatches: of each pass, all of the same size; of a model that carries a state, of whole sequences.
        clip: how far the probability of an action may move from 1, relative to what it was, before it stops counting.
        value_clip: how far a value may move before it stops counting, in units of the return; None for any way.
        target_kl: an update ends with the minibatch over which the policy has moved so far, in nats; None to make all epochs.
    """

    step_metrics: ClassVar[tuple[str, ...]] = (*PolicyGradient.step_metrics, "approx_kl", "clip_fraction")
    metric_names: ClassVar[tuple[str, ...]] = (*step_metrics, "explained_variance")

    learning_rate: float | Schedule = rate(3e-4)
    max_gradient_norm: float | None = optional_positive(0.5)
    trace_decay: float = fraction(0.95)
    num_epochs: int = positive(4)
    num_minibatches: int = positive(4)
    clip: float | Schedule = scheduled(0.2)
    value_clip: float | None = optional_positive(None)
    target_kl: float | None = optional_positive(None)
    normalize_advantages: bool = True

    def optimizer_steps(self) -> int:
        return self.num_epochs * self.num_minibatches

    def build(self, setup: Setup) -> None:
        super().build(setup)
        self._clip = self.spanning(self.clip, setup)

        remedy = "Set trainer.num_minibatches so, or change num_environments or trainer.rollout_steps."
        check_division(setup.num_environments * self.rollout_steps // self._length, self.num_minibatches, remedy)

    def minibatch_steps(self, steps: int) -> int:
        return steps // self.num_minibatches

    def update(self, memory: Memory, seed: Seed) -> Update:
        # The old policy's probabilities and the advantages stay as they are for all epochs.
        experience, judged = self.collect(memory, seed, self.trace_decay)
        clip, entropy_weight = self._clip(self.acting.optimizer_steps), self.entropy_weight_now()

        def improve(minibatch: Experience, seed: Seed) -> Metrics:
            def of_policy(policy: Distribution, rows: Experience) -> Loss:
                return self.policy_loss(policy, rows, clip, entropy_weight)

            return self.improve(minibatch, of_policy, self.value_loss, seed)

        stop = None if self.target_kl is None else self._is_far
        epochs, seed = (self.num_epochs, self.num_minibatches), seeds.child(seed, "epochs")
        metrics = epochs_over(experience, *epochs, seed, improve, self.step_metrics, stop)
        return Update({**metrics, **judged})

    def _is_far(self, metrics: Metrics) -> Tensor:
        return metrics["approx_kl"] > self.target_kl

    def policy_loss(self, policy: Distribution, rows: Experience, clip: Tensor, entropy_weight: Tensor) -> Loss:
        """Returns the loss of a policy `[N]`: minus the clipped gain, minus the weighted entropy."""
        # [N] advantages, and the logarithm of how much more probable the action has become.
        advantage = normalized(rows.advantage, rows.weight) if self.normalize_advantages else rows.advantage
        log_ratio = policy.log_probability(rows.action) - rows.log_probability
        gain, entropy = clipped_gain(log_ratio, advantage, clip), policy.entropy()

        # Means over the rows that count.
        is_clipped = tf.cast(tf.abs(tf.math.expm1(log_ratio)) > clip, tf.float32)
        metrics = {
            "policy_loss": -gain,
            "entropy": entropy,
            "approx_kl": approximate_divergence(log_ratio),
            "clip_fraction": is_clipped,
        }
        means = {name: tf.reduce_mean(rows.weight * value) for name, value in metrics.items()}
        return Loss(-gain - entropy_weight * entropy, means)

    def value_loss(self, values: Tensor, rows: Experience) -> Tensor:
        """Returns the loss of values `[N]`."""
        return value_error(values, rows.returns, rows.value, self.value_clip)
