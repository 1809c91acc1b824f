"""Advantage actor-critic."""

from __future__ import annotations

import attrs

from agentlab.fields import fraction, optional_positive, positive
from agentlab.memory import Memory
from agentlab.schedules import Schedule
from agentlab.trainer import Update, rate
from agentlab.types import Seed
from agentlab_policy_gradient.one_step import make_step
from agentlab_policy_gradient.trainer import PolicyGradient


@attrs.define(slots=False, eq=False)
class A2C(PolicyGradient):
    """Synchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783): one update per rollout.

    Attributes:
        trace_decay: lambda of the generalized advantages, 0 to 1; 1 sums up all rewards of the rollout.
    """

    learning_rate: float | Schedule = rate(7e-4)
    max_gradient_norm: float | None = optional_positive(0.5)
    rollout_steps: int = positive(5)
    trace_decay: float = fraction(1.0)

    def update(self, memory: Memory, seed: Seed) -> Update:
        return make_step(self, memory, seed, self.trace_decay)
