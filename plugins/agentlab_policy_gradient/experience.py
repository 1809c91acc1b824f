"""Experience: what a policy gradient learns from, cut into the sequences that minibatches are made of."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab.algorithms.minibatches import begins, merge_time, sequences_of
from agentlab.types import Batch, Nest, Tensor


@attrs.frozen(eq=False)
class Experience:
    """M sequences of L steps; L is 1 for models without a state.

    Attributes:
        observation: `[M, L, *O]`, what was acted on.
        action: `[M, L, *A]`.
        state: the model's, before the first step of each sequence `[M, ...]`; or `()`.
        begun: `[M, L]` bool, where an episode begins within a sequence.
        weight: `[M, L]` float32, how much each step counts; 0 for rows that were only being reset.
        log_probability: `[M, L]` float32, of the actions when they were taken.
        value: `[M, L]` float32, of the observations, as it was judged then.
        advantage: `[M, L]` float32, how much better the action did than that.
    """

    observation: Nest
    action: Nest
    state: Nest
    begun: Tensor
    weight: Tensor
    log_probability: Tensor
    value: Tensor
    advantage: Tensor

    @classmethod
    def cut(cls, rollout: Batch, length: int, log_probability: Tensor, value: Tensor, advantage: Tensor) -> Experience:
        """Returns a rollout, leaves `[B, T, ...]`, as sequences of `length` steps: M is `B * T / length`."""
        # Leaves [M, L, ...] of sequences of L steps.
        weight = tf.ones_like(rollout.reward) if isinstance(rollout.weight, tuple) else rollout.weight
        leaves = (rollout.observation, rollout.action, rollout.ended, weight, log_probability, value, advantage)
        observation, action, ended, *numbers = sequences_of(leaves, length)

        # The state before a sequence is that of its first step, reset already if an episode began there.
        state = tf.nest.map_structure(lambda leaf: leaf[:, 0], sequences_of(rollout.state, length))
        return cls(observation, action, state, begins(ended), *numbers)

    @property
    def returns(self) -> Tensor:
        """`[M, L]` float32, what the values should have been."""
        return self.value + self.advantage

    def rows(self) -> Experience:
        """Returns the steps one after the other, `[M * L, ...]`, without a state."""
        return merge_time(attrs.evolve(self, state=()))
