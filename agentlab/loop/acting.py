"""PolicyActor: acts and learns nothing, as in evaluation, play, text generation and `Agent.act`."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.checks.values import Values
from agentlab.loop.policy import Policy
from agentlab.spec import blank, conform, copied, is_batch, to_environment
from agentlab.tensors.execution import GraphCall
from agentlab.types import Decision, Nest, Tensor, TimeStep, arrays, map_leaves, pack


class PolicyActor:
    """Acts by a policy, and counts its actions, which seed its draws.

    Args:
        policy: decides.
        key: of the random stream to draw from, see `agentlab.seeds`.
        execution: "eager", "graph" or "xla", for calls from the host; acting alone is fastest as a graph, so "xla" runs as one.

    Attributes:
        policy: as given.
        steps: int64 variable, actions drawn so far.
    """

    def __init__(self, policy: Policy, key: int, execution: str = "graph") -> None:
        self.policy = policy
        self.steps = tf.Variable(0, dtype=tf.int64, name="acts")
        self._key = key
        self._is_eager = execution == "eager"
        self._values = Values(policy.spec.observation, "observation")
        self._has_state = bool(tf.nest.flatten(policy.initial_state(1)))
        self._call: GraphCall | None = None

    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Acts on observations `[B, *O]`; traceable."""
        step = self.steps.read_value()
        decision = self.policy.decide(observation, state, step, seeds.at(self._key, step))
        rows = tf.shape(tf.nest.flatten(observation)[0], out_type=tf.int64)[0]
        self.steps.assign_add(rows)
        return decision

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Learns nothing from where a decision led."""

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun; traceable."""
        return self.policy.restart(state, begun)

    def initial_state(self, rows: int) -> Nest:
        """Returns the model's state before the first step."""
        return self.policy.initial_state(rows)

    def act(self, observation: Nest) -> Nest:
        """Returns the action for one observation `[*O]`, or the actions for a batch `[B, *O]`, as the environment numbers them.

        Raises:
            UsageError: the observation is not one of the environment's: its shape, dtype or numbers are others; or the model
                carries a state.
        """
        spec = self.policy.spec
        if self._has_state:
            raise errors.UsageError(
                f"Model {self.policy.network.model.name!r} carries a state from step to step, which 'act' doesn't keep. "
                "Call 'policy.respond(observation, state)', which takes and returns it, and counts choices from 0."
            )

        # [B, *O], a single observation as a batch of one.
        values = conform(observation, spec.observation, "The agent")
        is_single = not is_batch(spec.observation, values)
        batch = map_leaves(lambda array: array[None], values) if is_single else values
        try:
            self._values.check(batch)
        except errors.EnvironmentFault as error:
            raise errors.UsageError(f"The agent can't act on its observation: {error}") from error

        # Without the batch axis where there was none, and numbered as the environment does.
        action = self.respond(batch).action
        if is_single:
            action = map_leaves(lambda array: array[0], action)
        return to_environment(action, spec.action)

    def respond(self, observation: Nest, state: Nest = ()) -> Decision:
        """Decides for a batch of arrays `[B, *O]` as one compiled call from the host; actions are arrays."""
        if self._is_eager:
            decision = self.decide(tf.nest.map_structure(tf.constant, observation), state)
        else:
            call = self._compiled()
            leaves = [observation] if isinstance(observation, np.ndarray) else tf.nest.flatten(observation)
            outputs = call(*leaves, *(tf.nest.flatten(state) if self._has_state else ()))
            action, output, next_state = pack(self._results, iter(outputs))
            return Decision(observation, state, arrays(action), output, next_state)
        return attrs.evolve(decision, action=arrays(decision.action))

    def _compiled(self) -> GraphCall:
        if self._call is None:
            self._call = self._compile()
        return self._call

    def _compile(self) -> GraphCall:
        spec = self.policy.spec

        # Signatures [None, *O] and those of the state: any number of rows, compiled once.
        observation = tf.nest.map_structure(_any_rows, blank(spec.observation, 1))
        state = tf.nest.map_structure(_any_rows, self.policy.initial_state(1))

        def call(*leaves: Any) -> Any:
            values = tf.nest.pack_sequence_as((observation, state), list(leaves))
            decision = self.decide(*values)
            results = (decision.action, decision.output, decision.next_state)
            self._results = tf.nest.map_structure(lambda _: 0, results)
            return tuple(tf.nest.flatten(results))

        return GraphCall(call, tf.nest.flatten((observation, state)))


class HostPolicyActor:
    """A `PolicyActor` for host programs, with NumPy arrays.

    Args:
        actor: acts.
    """

    def __init__(self, actor: PolicyActor) -> None:
        self._actor = actor

    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Returns actions for observations `[B, *O]`."""
        return self._actor.respond(copied(observation), state)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Learns nothing from where a decision led."""

    def restart(self, state: Nest, begun: np.ndarray) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun."""
        if not tf.nest.flatten(state) or not np.count_nonzero(begun):
            return state
        return self._actor.restart(state, tf.constant(begun))


def _any_rows(array: Any) -> tf.TensorSpec:
    return tf.TensorSpec([None, *array.shape[1:]], array.dtype)
