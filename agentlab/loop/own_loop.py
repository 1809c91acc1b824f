"""OwnLoop: the loop body for somebody else's loop, who steps the environment between two calls."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.loop.host_actors import HostActor
from agentlab.spec import conform, is_batch, to_environment
from agentlab.types import Decision, Nest, TimeStep


class OwnLoop:
    """Turns the time steps of somebody else's loop into actions: observes the last decision's, then decides again.

    Args:
        actor: decides and observes.
    """

    def __init__(self, actor: HostActor) -> None:
        self._actor = actor
        self._spec = actor.learner.policy.spec
        self._rows = actor.learner.num_environments
        self._decision: Decision | None = None
        self._state = actor.learner.policy.initial_state(self._rows)

    def step(self, timestep: TimeStep) -> Nest:
        """Returns the next actions `[B, *A]`, as the environment numbers them; without the batch axis if it was left out.

        Raises:
            UsageError: the observation's shape or dtype, or the number of rows, is wrong.
        """
        observation = conform(timestep.observation, self._spec.observation, "The agent")
        is_single = not is_batch(self._spec.observation, observation)
        batch = self._batched(timestep, observation, is_single)
        action = to_environment(self._next(batch), self._spec.action)
        return tf.nest.map_structure(lambda array: array[0], action) if is_single else action

    def _next(self, timestep: TimeStep) -> Nest:
        if self._decision is not None:
            self._actor.observe(self._decision, timestep)
            self._state = self._actor.restart(self._decision.next_state, timestep.begun)
        self._decision = self._actor.decide(timestep.observation, self._state)
        return self._decision.action

    def _batched(self, timestep: TimeStep, observation: Nest, is_single: bool) -> TimeStep:
        """Returns the time step as arrays `[B, ...]`."""
        final = conform(timestep.final_observation, self._spec.observation, "The agent")
        whole = attrs.evolve(
            timestep,
            observation=observation,
            reward=np.asarray(timestep.reward, np.float32),
            terminated=np.asarray(timestep.terminated, np.bool_),
            truncated=np.asarray(timestep.truncated, np.bool_),
            final_observation=final,
            acted=np.asarray(timestep.acted, np.bool_),
        )
        if is_single:
            whole = tf.nest.map_structure(lambda leaf: np.asarray(leaf)[None], whole)
        rows = len(tf.nest.flatten(whole.observation)[0])
        if rows != self._rows:
            raise errors.UsageError(f"The agent got {rows} observations; expected {self._rows}, one per environment.")
        return attrs.evolve(whole, acted=np.broadcast_to(whole.acted, (rows,)))
