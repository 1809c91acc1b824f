"""PolicyActor: acts and learns nothing, as in evaluation, play, text generation and `Agent.act`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.checks.values import Values
from agentlab.loop.host.call import HostCall
from agentlab.loop.policy import Policy
from agentlab.loop.running_episodes import RunningEpisodes
from agentlab.spec import blank, conform, copied, is_batch, to_environment
from agentlab.types import Decision, Nest, Tensor, TimeStep, arrays, first_leaf, map_leaves

LARGE_BATCH = 256  # rows from which fused kernels are faster


class PolicyActor:
    """Acts by a policy, and counts its actions, which seed its draws.

    Args:
        policy: decides.
        key: of the random stream to draw from, see `agentlab.seeds`.
        execution: "eager", "graph" or "xla", for calls from the host; acting alone is fastest as a graph, so "xla" runs as one.

    Attributes:
        policy: as given.
        key: as given.
        steps: int64 variable, actions drawn so far.
    """

    def __init__(self, policy: Policy, key: int, execution: str = "graph") -> None:
        self.policy = policy
        self.steps = tf.Variable(0, dtype=tf.int64, name="acts")
        self.key = key
        self._execution = execution
        self._check = Values(policy.perception.environment_spec.observation, "observation").check
        self._episodes = RunningEpisodes.of(policy)
        self._calls: dict[tuple[int | None, bool], HostCall] = {}  # by the number of rows if fixed, and whether many

    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Acts on observations `[B, *O]`; traceable."""
        step = self.steps.read_value()
        decision = self.policy.decide(observation, state, step, seeds.at(self.key, step))
        # Counted in rows, as training counts its steps, so that schedules mean the same.
        rows = tf.shape(first_leaf(observation), out_type=tf.int64)[0]
        self.steps.assign_add(rows)
        return decision

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Learns nothing from where a decision led."""

    def perceive(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what the network sees of the time step that actions `[B, *A]` led to; traceable."""
        return self.policy.perception.after(timestep, action)

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun; traceable."""
        return self.policy.restart(state, begun)

    def initial_state(self, rows: int) -> Nest:
        """Returns the model's state before the first step."""
        return self.policy.initial_state(rows)

    def act(self, observation: Nest, begun: Any = False, reward: Any = 0.0) -> Nest:
        """Returns the action for one observation `[*O]`, or the actions for a batch `[B, *O]`, as the environment numbers them.

        What the agent remembers of the running episodes it carries from call to call, one for each row.

        Args:
            observation: of the environment.
            begun: whether an episode begins with it, `[B]` or one bool for all; the first call begins all.
            reward: of the last action, `[B]` or one number for all, which counts where `inputs.previous_reward` is on.

        Raises:
            UsageError: the observation is not one of the environment's: its shape, dtype or numbers are others; or there are
                another number of rows than in the episodes under way.
        """
        seen, is_single = self._batch(observation)
        state: Nest = ()
        if self._episodes is not None:
            seen, state = self._episodes.next(seen, begun, reward)
        call = self._host_call(seen)

        # [B, *A], or [*A] for one observation.
        leaves = call.outputs(seen, state)
        action = arrays(call.result(0, leaves))
        if self._episodes is not None:
            self._episodes.remember(action, call.result(2, leaves))
        if is_single:
            action = map_leaves(_first_row, action)
        return to_environment(action, self.policy.spec.action)

    def _batch(self, observation: Nest) -> tuple[Nest, bool]:
        """Returns one observation `[*O]` or a batch `[B, *O]` as a batch, checked; and whether it was one."""
        space = self.policy.perception.environment_spec.observation
        values = conform(observation, space, "The agent")
        is_single = not is_batch(space, values)
        batch = map_leaves(_with_batch_axis, values) if is_single else values
        try:
            self._check(batch)
        except errors.EnvironmentFault as error:
            raise errors.UsageError(f"The agent can't act on its observation: {error}") from error
        return batch, is_single

    def respond(self, observation: Nest, state: Nest = ()) -> Decision:
        """Decides for a batch of arrays `[B, *O]` as one compiled call from the host; the action is an array."""
        call = self._host_call(observation)
        leaves = call.outputs(observation, state)
        action, output, next_state = (call.result(index, leaves) for index in range(3))
        return Decision(observation, state, arrays(action), output, next_state)

    def _host_call(self, observation: Nest) -> HostCall:
        """Returns the compiled call for a batch `[B, *O]` of that size."""
        # One observation is the usual case, and a graph takes less time where all shapes are known.
        count = len(first_leaf(observation))
        rows, is_large = 1 if count == 1 else None, count >= LARGE_BATCH
        if (rows, is_large) not in self._calls:
            examples = [blank(self.policy.spec.observation, 1), self.policy.initial_state(1)]
            signature = tf.nest.map_structure(lambda array: tf.TensorSpec([rows, *array.shape[1:]], array.dtype), examples)
            self._calls[rows, is_large] = HostCall(self._decided, signature, self._execution, fuse=is_large)
        return self._calls[rows, is_large]

    def _decided(self, observation: Nest, state: Nest) -> tuple[Nest, Tensor, Nest]:
        decision = self.decide(observation, state)
        return decision.action, decision.output, decision.next_state


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

    def perceive(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what the network sees of the time step that actions `[B, *A]` led to."""
        return self._actor.policy.perception.after(timestep, action)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Learns nothing from where a decision led."""

    def restart(self, state: Nest, begun: np.ndarray) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun."""
        return self._actor.policy.restart_on_host(state, begun)


def _with_batch_axis(array: np.ndarray) -> np.ndarray:
    return array[None]


def _first_row(array: np.ndarray) -> np.ndarray:
    return array[0]
