"""Host actors: `decide` and `observe` as a host program calls them, around each step of somebody else's environment."""

from __future__ import annotations

import abc
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.loop.learner import Learner
from agentlab.loop.lookahead import Lookahead
from agentlab.loop.staging import Staging
from agentlab.spec import blank, copied
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.tensors.execution import GraphCall, compiled
from agentlab.trainer import Recording
from agentlab.types import Decision, Nest, TimeStep, arrays, pack


class HostActor(abc.ABC):
    """Acts and learns for a host program: observations and actions are NumPy arrays, what is heavy is compiled.

    Args:
        learner: decides and learns.
    """

    def __init__(self, learner: Learner) -> None:
        learner.prepare()
        self.learner = learner

    @property
    def turns(self) -> int:
        """How often it has decided since the agent was made, runs that were resumed included."""
        return int(self.learner.steps.numpy()) // self.learner.num_environments

    @abc.abstractmethod
    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Returns actions `[B, *A]` for observations `[B, *O]`, exploring; the observations may be changed afterwards."""

    @abc.abstractmethod
    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led, and learns when due, at the latest when it next decides."""

    def restart(self, state: Nest, begun: np.ndarray) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun (`[B]` bool)."""
        if (isinstance(state, tuple) and not state) or not np.count_nonzero(begun):
            return state
        return self.learner.restart(state, tf.constant(begun))

    def settle_updates(self) -> None:  # noqa: B027 - no update waits where everything is done at once
        """Makes the update that waits for the next decision, if one does."""

    def settle(self) -> None:  # noqa: B027 - nothing waits where everything is done at once
        """Does all that waits, so that the variables hold everything observed so far."""

    def reload(self) -> None:  # noqa: B027 - nothing is counted where everything is done at once
        """Reads the learner's counters again, which were assigned from outside."""


class RecordingHostActor(HostActor):
    """For a memory that learns from the pass that acted: the tape is the host's own, so that the pass is made once.

    Args:
        learner: decides and learns.
        execution: "eager", "graph" or "xla".
    """

    def __init__(self, learner: Learner, execution: str) -> None:
        super().__init__(learner)
        self._forward = compiled(self._act, execution)
        self._recording: Recording | None = None

    def decide(self, observation: Nest, state: Nest) -> Decision:
        observed = tf.nest.map_structure(tf.constant, observation)
        with tf.GradientTape() as tape:
            decision, losses = self._forward(observed, state)
        self._recording = Recording(tape, decision.output, losses)
        return _with_arrays(decision)

    def _act(self, observation: Nest, state: Nest) -> tuple[Decision, Any]:
        step = self.learner.steps.read_value()
        policy = self.learner.policy
        decision = policy.decide(observation, state, step, self.learner.policy_seed(step), training=True)
        self.learner.steps.assign(step + self.learner.num_environments)
        return decision, sum_of_losses(policy.network.model)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        recording, self._recording = self._recording, None
        row = np.flatnonzero(timestep.acted)
        if 0 < len(row) < self.learner.num_environments:
            self._observe_rows(recording, decision, timestep, row)
            return
        self.learner.trainer.record(recording)
        self.learner.observe(decision, tf.nest.map_structure(tf.constant, timestep))

    def _observe_rows(self, recording: Any, decision: Decision, timestep: TimeStep, row: np.ndarray) -> None:
        """Learns from some rows only: a loss may be a mean of all that it is given, which no row's weight would reach."""
        self.learner.normalizer.add(self.learner.step_between(decision, timestep))
        decision, timestep = tf.nest.map_structure(lambda leaf: tf.gather(leaf, row), (decision, timestep))
        with recording.tape:
            output = tf.gather(recording.output, row)
        self.learner.trainer.record(attrs.evolve(recording, output=output))
        self.learner.memory.add(self.learner.step_between(decision, timestep), tf.constant(row))
        self.learner.update()


class StagedHostActor(HostActor):
    """For a memory that stores: steps wait on the host until the next update, and what can be one compiled call is one.

    Between updates a step costs one compiled call, the decision, and none where every row explores. Where one update is due,
    it waits for the next decision: remembering, learning and deciding are then one call too.

    Args:
        learner: decides and learns.
        execution: "eager", "graph" or "xla".
    """

    def __init__(self, learner: Learner, execution: str) -> None:
        super().__init__(learner)
        self._execution = execution
        self._rows = learner.num_environments
        self._staging = Staging(learner.layout())
        self._lookahead = Lookahead(learner, execution)
        self._example = learner.policy.initial_state(self._rows)
        self._calls: dict[str, Any] = {}
        self._waits = False  # an update for the next decision
        self._running: np.ndarray | None = None  # [B] bool, rows whose last step did not end their episode
        self.reload()

    @property
    def turns(self) -> int:
        return self._steps // self._rows

    def reload(self) -> None:
        self._steps = int(self.learner.steps.numpy())
        self._has_stored = self._steps > 0

    def decide(self, observation: Nest, state: Nest) -> Decision:
        explored, arrays = self._lookahead.at(self._steps)
        if explored is not None:
            self.settle_updates()
            action, output, next_state = explored, (), state
        else:
            name = "learn_and_decide" if self._waits else "decide"
            staged = [self._staging.take()] if self._waits else []
            self._waits = False
            action, output, next_state = self._call(name, *staged, *self._now(arrays), observation, state)
        self._steps += self._rows
        return Decision(copied(observation), state, action, output, next_state)

    def _now(self, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return arrays if self._lookahead.is_active else (np.asarray(self._steps),)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        self.settle_updates()
        self._cut(timestep)
        self._staging.add(decision, timestep)
        self._has_stored = self._has_stored or bool(np.count_nonzero(timestep.acted))
        due = self.learner.update_schedule.due(self._steps, self._rows) if self._has_stored else 0
        if due == 1:
            self._waits = True
            return
        if due or self._staging.is_full:
            self._call("remember", self._staging.take())
        for _ in range(due):
            self._call("update")

    def _cut(self, timestep: TimeStep) -> None:
        """Tells the memory of the rows that were reset before their episode had ended."""
        running, self._running = self._running, timestep.acted & ~timestep.ended
        if running is None or np.count_nonzero(timestep.acted) == self._rows:
            return
        abandoned = np.flatnonzero(running & ~timestep.acted)
        if len(abandoned):
            self.settle()
            self.learner.memory.cut(tf.constant(abandoned, tf.int64))

    def settle_updates(self) -> None:
        if self._waits:
            self._waits = False
            self._call("learn", self._staging.take())

    def settle(self) -> None:
        self.settle_updates()
        if self._staging.has_rows:
            self._call("remember", self._staging.take())
        self.learner.steps.assign(self._steps)

    def _call(self, name: str, *values: Nest) -> Any:
        if name not in self._calls:
            self._calls[name] = self._compile(name)
        return self._calls[name](*values)

    def _compile(self, name: str) -> Any:
        spec = self.learner.policy.spec
        observation = tf.nest.map_structure(_signature, blank(spec.observation, self._rows))
        state = tf.nest.map_structure(_signature, self._example)
        now = [*(self._lookahead.signature or [tf.TensorSpec([], tf.int64)]), observation, state]
        staged = tf.TensorSpec([None, self._staging.dtype.itemsize], tf.uint8)
        function, signature = {
            "decide": (self._decide, now),
            "learn_and_decide": (self._learn_and_decide, [staged, *now]),
            "learn": (self._learn, [staged]),
            "remember": (self._remember, [staged]),
            "update": (self.learner.update, []),
        }[name]
        return HostCall(function, signature, self._execution)

    def _decide(self, step: Any, *rest: Nest) -> Any:
        *explored, observation, state = rest
        learner = self.learner
        if self._lookahead.is_active:
            action = learner.policy.decide_given(observation, explored[0] if explored else None, learner.policy_seed(step))
            return action, (), ()
        decision = learner.decide_at(observation, state, step)
        return decision.action, decision.output if learner.request.keep else (), decision.next_state

    def _learn_and_decide(self, staged: Any, *now: Nest) -> Any:
        self._learn(staged)
        return self._decide(*now)

    def _learn(self, staged: Any) -> None:
        self._remember(staged)
        self.learner.update()

    def _remember(self, staged: Any) -> None:
        decision, timestep, row = self._staging.unpack(staged)
        self.learner.remember(self.learner.step_between(decision, timestep), row)


class HostCall:
    """A traceable function called from the host with nests of arrays; of its results, arrays are NumPy's.

    Args:
        function: takes nests of tensors; returns a nest of tensors, or None.
        signature: a nest of `tf.TensorSpec`s for each argument.
        execution: "eager", or anything else for a graph.
    """

    def __init__(self, function: Any, signature: list[Nest], execution: str) -> None:
        self._results: Nest = None
        if execution == "eager":
            self._call = lambda *flat: tf.nest.flatten(self._run(function, signature, flat))
            return
        flat = [leaf for nest in signature for leaf in tf.nest.flatten(nest)]
        self._call = GraphCall(lambda *leaves: tuple(tf.nest.flatten(self._run(function, signature, leaves))), flat)

    def _run(self, function: Any, signature: list[Nest], leaves: Any) -> Nest:
        values = tf.nest.pack_sequence_as(signature, [tf.convert_to_tensor(leaf) for leaf in leaves])
        results = function(*values)
        self._results = () if results is None else tf.nest.map_structure(lambda _: 0, results)
        return () if results is None else results

    def __call__(self, *values: Nest) -> Nest:
        """Returns the function's results for nests of arrays that match the signature."""
        leaves = [leaf for value in values for leaf in ([value] if isinstance(value, np.ndarray) else tf.nest.flatten(value))]
        outputs = self._call(*leaves)
        return pack(self._results, iter([output.numpy() for output in outputs]))


def make_host_actor(learner: Learner, execution: str) -> HostActor:
    """Returns what acts and learns for a host program; `execution` is "eager", "graph" or "xla"."""
    if learner.memory.records_acting:
        return RecordingHostActor(learner, execution)
    return StagedHostActor(learner, execution)


def _signature(array: Any) -> tf.TensorSpec:
    return tf.TensorSpec(array.shape, array.dtype)


def _with_arrays(decision: Decision) -> Decision:
    """Returns the decision with its action as arrays, which environments take."""
    return attrs.evolve(decision, action=arrays(decision.action))
