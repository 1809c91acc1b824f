"""Group-relative policy optimization: attempts at the same problem are compared with each other, without values."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.groups import group_advantages, group_deviations
from agentlab.algorithms.minibatches import check_division, epochs_over, merge_time
from agentlab.algorithms.policy_gradients import approximate_divergence, clipped_gain
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.distribution import Distribution
from agentlab.fields import non_negative, optional_positive, positive, scheduled
from agentlab.memory import Memory, Request, weight_of
from agentlab.schedules import Schedule, as_schedule
from agentlab.spec import EnvironmentSpec
from agentlab.spec.environment_spec import MASK
from agentlab.trainer import Loss, Network, Setup, Trainer, Update, rate
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor

COMPARED_PERIOD = 8  # rows from one that is compared with the reference to the next, where that is only reported
SOLVED = 0.999  # reward from which on an attempt counts as an exact match: the built-in rewards give 1


@attrs.frozen(eq=False)
class Attempts:
    """N whole episodes of T steps.

    Attributes:
        observation: `[N, T, *O]`.
        action: `[N, T, *A]`.
        choice: `[N, T]` bool, steps that acted and had more than one action to choose from.
        advantage: `[N]` float32, of the whole episode within its group.
        log_probability: `[N, T]` float32, of the actions by the policy that took them; `()` if nobody asks.
        reference: `[N, T]` float32, of the actions by the policy that training began with; 0 in rows not asked about.
        compared: `[N]` bool, rows that the reference was asked about.
    """

    observation: Nest
    action: Nest
    choice: Tensor
    advantage: Tensor
    log_probability: Tensor
    reference: Tensor
    compared: Tensor


@attrs.define(slots=False, eq=False)
class GRPO(Trainer):
    """Group-relative policy optimization (Shao et al. 2024, arXiv:2402.03300), for environments that show problems in groups.

    Each update learns from one whole episode of every row. The advantage of an episode is its return less the mean of its
    group, and all its steps at which there was a choice share it and count alike, however long an episode is (Yu et al. 2025,
    arXiv:2503.14476). By default that is all: one step along the policy gradient, as in Karpathy's nanochat. Divided by the
    deviation, clipped and held near the policy that training began with, it is GRPO as published. Choose sampler "stochastic"
    and memory "rollout"; models carry a state or don't.

    Metrics besides the loss: `reward`, the mean return; `reward_deviation`, the mean standard deviation within groups;
    `equal_groups`, the share of groups without any, from which nothing is learned; `exact_match`, the share of returns of at
    least 1; `completion_length`, choices in an episode; `kl`, the divergence from the policy that training began with (where
    `kl_weight` is 0, of every eighth episode), and `entropy`, both in nats a choice.

    Attributes:
        normalize_advantages: divide advantages by the standard deviation of the group.
        num_epochs: passes over the episodes of an update.
        num_minibatches: of each pass, of whole episodes.
        clip: how far the probability of an action may move from 1, relative to what it was, before it stops counting; None for
            any way, which needs updates of one step.
        kl_weight: of the divergence from the policy that training began with, in units of the return per nat and choice.
        entropy_weight: of the policy's entropy in the loss, in units of the advantage per nat and choice, 0 or greater; a
            schedule counts the optimizer's steps.
    """

    step_metrics: ClassVar[tuple[str, ...]] = ("policy_loss", "gradient_norm", "kl", "entropy", "clip_fraction")
    metric_names: ClassVar[tuple[str, ...]] = (
        *step_metrics, "reward", "reward_deviation", "equal_groups", "exact_match", "completion_length",
    )  # fmt: skip

    learning_rate: float | Schedule = rate(3e-4)
    max_gradient_norm: float | None = optional_positive(1.0)
    normalize_advantages: bool = False
    num_epochs: int = positive(1)
    num_minibatches: int = positive(1)
    clip: float | None = optional_positive(None)
    kl_weight: float = non_negative(0.0, live=True)
    entropy_weight: float | Schedule = scheduled(0.0)

    def __attrs_post_init__(self) -> None:
        if self.clip is None and self.optimizer_steps() > 1:
            steps = f"{self.num_epochs} and {self.num_minibatches}"
            raise ValueError(f"'num_epochs' and 'num_minibatches' above 1 need 'clip', such as 0.2: {steps}")

    # What it learns from.

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        if spec.group_size < 2 or spec.max_episode_steps is None:
            raise errors.UsageError(
                f"Trainer 'grpo' compares attempts at the same problem; environment {spec.name!r} shows each problem once, a "
                "group of one. Choose environment 'writing' with environment.group_size=8 or so, or another trainer, such as "
                "'ppo'."
            )
        return {"policy": Network(self.distribution(spec).num_outputs, has_noise=False)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=spec.max_episode_steps, order="all", keep=() if self.clip is None else ("output",))

    def optimizer_steps(self) -> int:
        return self.num_epochs * self.num_minibatches

    def build(self, setup: Setup) -> None:
        rows, group = setup.num_environments, setup.spec.group_size
        if rows % group:
            raise errors.UsageError(
                f"{rows} environments side by side are no whole groups of {group}; set num_environments to a multiple of it."
            )
        check_division(rows, self.num_minibatches, "Set trainer.num_minibatches so, or change num_environments.")
        super().build(setup)
        self._distribution = self.distribution(setup.spec)
        self._reference = TargetNetwork(self.model, 1, 1.0)  # which never follows
        self._entropy_weight = as_schedule(self.spanning_updates(self.entropy_weight, setup))

    # How it learns.

    def update(self, memory: Memory, seed: Seed) -> Update:
        rollout = memory.sample(seeds.child(seed, "memory"))  # leaves [B, T, ...]: one episode a row
        group, choice = self.spec.group_size, self._choices(rollout)

        # [B] returns of whole episodes, compared within groups.
        returns = tf.reduce_sum(rollout.reward, axis=1)
        deviations = group_deviations(returns, group)
        judged = {
            "reward": tf.reduce_mean(returns),
            "reward_deviation": tf.reduce_mean(deviations),
            "equal_groups": _share(tf.equal(deviations, 0.0)),
            "exact_match": _share(returns >= SOLVED),
            "completion_length": tf.reduce_mean(tf.reduce_sum(tf.cast(choice, tf.float32), axis=1)),
        }
        advantage = group_advantages(returns, group, self.normalize_advantages)
        attempts = Attempts(
            rollout.observation, rollout.action, choice, advantage, self._before(rollout), *self._by_reference(rollout)
        )
        epochs, seed = (self.num_epochs, self.num_minibatches), seeds.child(seed, "epochs")
        return Update({**epochs_over(attempts, *epochs, seed, self._improve, self.step_metrics), **judged})

    def _choices(self, rollout: Batch) -> Tensor:
        """Returns the steps `[B, T]` bool that acted and had a choice."""
        if not self.spec.has_mask:
            return rollout.acted
        allowed = tf.reduce_sum(tf.cast(rollout.observation[MASK], tf.int32), axis=-1)
        return rollout.acted & (allowed > 1)

    def _before(self, rollout: Batch) -> Tensor:
        """Returns the log-probabilities `[B, T]` by the outputs that were acted on, if they are stored."""
        return () if self.clip is None else self._log_probability(rollout.output, rollout.observation, rollout.action)[1]

    def _by_reference(self, rollout: Batch) -> tuple[Tensor, Tensor]:
        """Returns the log-probabilities `[B, T]` by the policy that training began with, and of which rows they are, `[B]`.

        Where the divergence is part of the loss, they are of all rows; where it is only reported, a few will do.
        """
        seen, rows = (rollout.observation, rollout.action), rollout.reward.shape[0]
        is_example = tf.equal(tf.range(rows) % COMPARED_PERIOD, 0)

        def of_all() -> tuple[Tensor, Tensor]:
            return self._reference_of(*seen), tf.ones_like(is_example)

        def of_examples() -> tuple[Tensor, Tensor]:
            some = self._reference_of(*tf.nest.map_structure(lambda leaf: leaf[::COMPARED_PERIOD], seen))
            spread = tf.repeat(some, COMPARED_PERIOD, axis=0)[:rows]
            return tf.where(is_example[:, None], spread, 0.0), is_example

        return tf.cond(tf.convert_to_tensor(self.kl_weight) > 0.0, of_all, of_examples)

    def _reference_of(self, observation: Nest, action: Tensor) -> Tensor:
        """Returns the log-probabilities `[N, T]` of actions `[N, T, *A]` by the policy that training began with."""
        outputs = self._reference.unroll(*self._inputs(observation, action))
        return self._log_probability(outputs, observation, action)[1]

    def _improve(self, attempts: Attempts, seed: Seed) -> Metrics:
        metrics, _ = self.minimize("policy", lambda: self._loss(attempts), seed)
        return {"gradient_norm": metrics.pop("policy_gradient_norm"), **metrics}

    def _loss(self, attempts: Attempts) -> Loss:
        observation, action = attempts.observation, attempts.action
        outputs, _ = self.acting.network.unroll_as_acted(*self._inputs(observation, action))
        policy, log_probability = self._log_probability(outputs, observation, action)

        # [N, T] gains of the choices, of which the policy gradient is the gradient.
        advantage = tf.broadcast_to(attempts.advantage[:, None], log_probability.shape)
        moved = tf.zeros_like(log_probability)
        gain = advantage * log_probability
        if self.clip is not None:
            moved = log_probability - attempts.log_probability
            gain = clipped_gain(moved, advantage, self.clip)

        # The divergence from the reference, estimated at the actions that the policy took; never below 0.
        moved_away = tf.where(attempts.compared[:, None], attempts.reference - log_probability, 0.0)
        divergence = approximate_divergence(moved_away)
        entropy = tf.reshape(policy.entropy(), log_probability.shape)
        means = {
            "entropy": entropy,
            "clip_fraction": tf.cast(tf.abs(tf.math.expm1(moved)) > (self.clip or 0.0), tf.float32),
        }

        # Every choice counts alike, and the others not at all.
        weight = weight_of(attempts.choice)
        metrics = {name: tf.reduce_mean(weight * values) for name, values in means.items()}
        metrics["kl"] = tf.reduce_mean(weight_of(attempts.choice & attempts.compared[:, None]) * divergence)
        bonus = self._entropy_weight(self.acting.optimizer_steps) * entropy
        return Loss(self.kl_weight * divergence - gain - bonus, metrics, weight=weight)

    def _inputs(self, observation: Nest, action: Tensor) -> tuple[Nest, Nest, Tensor]:
        """Returns what models see of episodes, the state before them, and where others begin within: nowhere."""
        rows, length = action.shape[:2]
        return self.spec.see(observation), self.acting.network.initial_state(rows), tf.zeros([rows, length], tf.bool)

    def _log_probability(self, outputs: Tensor, observation: Nest, action: Tensor) -> tuple[Distribution, Tensor]:
        """Returns the policy of outputs `[N, T, ..., K]`, of rows `[N * T]`, and the actions' log-probabilities `[N, T]`."""
        flat, flat_action = merge_time((outputs, action))
        policy = self._distribution.of(flat)
        if self.spec.has_mask:
            policy = policy.masked(merge_time(observation[MASK]))
        return policy, tf.reshape(policy.log_probability(flat_action), outputs.shape[:2])


def _share(flags: Tensor) -> Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float32))
