"""REINFORCE with baseline."""

from __future__ import annotations

import attrs

from agentlab.fields import positive
from agentlab.schedules import Schedule
from agentlab_vanilla_policy_gradient.actor_critic import ActorCritic


@attrs.define(slots=False, eq=False)
class VanillaPolicyGradient(ActorCritic):
    """REINFORCE with baseline (Williams 1992, doi:10.1007/BF00992696; Sutton and Barto 2018, section 13.4).

    Learns from returns to the end of the episode; the critic is the baseline only. It stands in for what is beyond where a
    rollout ends or an episode was cut off, and nowhere else.

    Attributes:
        rollout_steps: T, steps of every environment that an update learns from: many, so that most episodes end in a rollout.
    """

    learning_rate: float | Schedule = 1e-2  # of few updates, each from much
    rollout_steps: int = positive(128)
