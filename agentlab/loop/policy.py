"""Policy: a network, the distribution its outputs stand for, and a sampler; observations in, actions out."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.distribution import Distribution
from agentlab.loop.perception import Perception
from agentlab.model import Network, where_rows
from agentlab.sampler import Sampler, best_unless
from agentlab.spec import EnvironmentSpec, Space, map_space
from agentlab.spec.environment_spec import MASK
from agentlab.system.ranges import FINITE
from agentlab.task import Inputs
from agentlab.tensors import noise
from agentlab.types import Decision, Nest, Seed, Tensor, any_true


@attrs.frozen(eq=False)
class Policy:
    """Decides on actions; a pure function of its arguments and the network's weights.

    Attributes:
        network: from observations to outputs `[B, ..., K]`.
        distribution: what the outputs stand for.
        sampler: chooses the actions.
        spec: of the environment to act in, as the network sees it.
        explores: whether layers that explore by noise of their own do so, see `agentlab.tensors.noise`.
        perception: makes what the network sees of what the environment shows; by default that is the same.
    """

    network: Network
    distribution: Distribution
    sampler: Sampler
    spec: EnvironmentSpec
    explores: bool = False
    perception: Perception = attrs.field()
    _has_two_states: bool = attrs.field(init=False)

    @perception.default
    def _same(self) -> Perception:
        return Perception(self.spec, Inputs())

    @_has_two_states.default
    def _sampler_has_state(self) -> bool:
        return bool(tf.nest.flatten(self.sampler.initial_state(self.distribution, 1)))

    def decide(self, observation: Nest, state: Nest, step: Tensor, seed: Seed, training: bool = False) -> Decision:
        """Makes one forward pass and chooses an action per row; traceable.

        Args:
            observation: `[B, *O]`.
            state: before this step, see `initial_state`.
            step: int64 scalar, environment steps taken so far, for schedules.
            seed: `[2]` int64.
            training: whether layers such as dropout behave as in training.
        """
        # [B, ..., K] outputs, of which the distribution reads its own.
        network_state = self.network_state(state)
        output, next_state = self._forward(observation, network_state, seed, training)
        distribution = self._of(output, observation)
        if self._has_two_states:
            action, sampler_state = self.sampler.sample_with_state(distribution, state["sampler"], step, seed)
            next_state = {"network": next_state, "sampler": sampler_state}
        else:
            action = self.sampler.sample(distribution, step, seed)
        return Decision(observation, network_state, self._as_actions(action), output, next_state)

    def explore(self, step: Tensor, rows: int, seed: Seed) -> Tensor | None:
        """Returns the actions `[rows, ...]` that `decide` takes at `step` whatever the model says, -1 where it takes the mode.

        None where the sampler can't tell, see `Sampler.explore`. Traceable.
        """
        if isinstance(self.spec.action, dict) or self.spec.has_mask:
            return None
        return self.sampler.explore(self.distribution, (rows, *self.spec.action.shape), step, seed)

    def decide_given(self, observation: Nest, explored: Tensor | None, seed: Seed) -> Nest:
        """Returns the actions of `decide` where `explore` has said what is explored; None if nothing is. Traceable."""
        output, _ = self._forward(observation, (), seed, training=False)
        best = self._of(output, observation).mode()
        return self._as_actions(best if explored is None else best_unless(explored, best))

    def initial_state(self, rows: int) -> Nest:
        """Returns the state before the first step, tensors `[rows, ...]`; `()` where neither model nor sampler carries one.

        It is the model's; where the sampler carries one too, a mapping of "network" and "sampler" to their states.
        """
        network = self.network.initial_state(rows)
        if not self._has_two_states:
            return network
        return {"network": network, "sampler": self.sampler.initial_state(self.distribution, rows)}

    def network_state(self, state: Nest) -> Nest:
        """Returns the model's part of a state."""
        return state["network"] if self._has_two_states else state

    def state_ranges(self) -> Any:
        """Returns what the numbers of a state can be, see `agentlab.model.RecurrentModel.state_ranges`."""
        network = self.network.state_ranges()
        if not self._has_two_states:
            return network
        carried = self.sampler.initial_state(self.distribution, 1)
        return {"network": network, "sampler": tf.nest.map_structure(lambda _: FINITE, carried)}

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns `state` with the rows reset in which an episode has begun (`[B]` bool); traceable."""
        network = self.network.restart(self.network_state(state), begun)
        if not self._has_two_states:
            return network
        fresh = self.sampler.initial_state(self.distribution, begun.shape[0])
        sampler = tf.nest.map_structure(lambda new, old: where_rows(begun, new, old), fresh, state["sampler"])
        return {"network": network, "sampler": sampler}

    def restart_on_host(self, state: Nest, begun: np.ndarray) -> Nest:
        """As `restart`, for a host program: at the many steps where no episode begins it runs no operations."""
        return self.restart(state, tf.constant(begun)) if any_true(begun) else state

    def _forward(self, observation: Nest, state: Nest, seed: Seed, training: bool) -> tuple[Tensor, Nest]:
        with noise.drawn_from(seed if self.explores else None):
            return self.network(self.spec.see(observation), state, training)

    def _of(self, output: Tensor, observation: Nest) -> Distribution:
        # A trainer may ask for more outputs than the distribution reads, such as a value: they come after its own.
        own = self.distribution.num_outputs
        distribution = self.distribution.of(output if output.shape[-1] == own else output[..., :own])
        return distribution.masked(observation[MASK]) if self.spec.has_mask else distribution

    def _as_actions(self, action: Nest) -> Nest:
        def cast(space: Space, values: Tensor) -> Tensor:
            return tf.cast(values, space.dtype)

        return map_space(cast, self.spec.action, action)
