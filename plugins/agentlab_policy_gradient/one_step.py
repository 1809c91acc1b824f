"""One step along the policy gradient of a rollout, as in actor-critic and REINFORCE."""

from __future__ import annotations

import tensorflow as tf

from agentlab.algorithms.policy_gradients import normalized, value_error
from agentlab.distribution import Distribution
from agentlab.memory import Memory
from agentlab.trainer import Loss, Update
from agentlab.types import Seed, Tensor
from agentlab_policy_gradient.experience import Experience
from agentlab_policy_gradient.trainer import PolicyGradient


def policy_loss(policy: Distribution, rows: Experience, entropy_weight: Tensor, normalize: bool) -> Loss:
    """Returns `-log pi(action) * advantage`, less the weighted entropy, `[N]`; traceable."""
    advantage = normalized(rows.advantage, rows.weight) if normalize else rows.advantage
    loss, entropy = -policy.log_probability(rows.action) * advantage, policy.entropy()
    means = {"policy_loss": tf.reduce_mean(rows.weight * loss), "entropy": tf.reduce_mean(rows.weight * entropy)}
    return Loss(loss - entropy_weight * entropy, means)


def make_step(trainer: PolicyGradient, memory: Memory, seed: Seed, trace_decay: float) -> Update:
    """Makes the update of a rollout; traceable.

    Args:
        trainer: built.
        memory: holds the rollout.
        seed: `[2]` int64.
        trace_decay: lambda of the advantages, 0 to 1.
    """
    # What was experienced, with advantages by the networks as they are.
    experience, judged = trainer.collect(memory, seed, trace_decay)
    entropy_weight = trainer.entropy_weight_now()

    def of_policy(policy: Distribution, rows: Experience) -> Loss:
        return policy_loss(policy, rows, entropy_weight, trainer.normalize_advantages)

    def of_values(values: Tensor, rows: Experience) -> Tensor:
        return value_error(values, rows.returns, rows.value)

    return Update({**trainer.improve(experience, of_policy, of_values, seed), **judged})
