"""REINFORCE with baseline."""

from __future__ import annotations

import attrs

from agentlab.fields import positive
from agentlab.memory import Memory
from agentlab.schedules import Schedule
from agentlab.trainer import Update, rate
from agentlab.types import Seed
from agentlab_policy_gradient.one_step import make_step
from agentlab_policy_gradient.trainer import PolicyGradient


@attrs.define(slots=False, eq=False)
class Reinforce(PolicyGradient):
    """REINFORCE with baseline (Williams 1992, doi:10.1007/BF00992696; Sutton and Barto 2018, section 13.4).

    Learns from returns to the end of the episode, less the value as a baseline. The value also stands in for what is beyond
    where a rollout ends or an episode was cut off, and nowhere else: make rollouts so long that most episodes end in one.
    """

    learning_rate: float | Schedule = rate(1e-2)
    rollout_steps: int = positive(128)
    normalize_advantages: bool = True

    def update(self, memory: Memory, seed: Seed) -> Update:
        return make_step(self, memory, seed, 1.0)
