"""Host actors: `decide` and `observe` as a host program calls them, around each step of the environment."""

from __future__ import annotations

import abc
from collections.abc import Callable

import attrs
import numpy as np
import tensorflow as tf

from agentlab.errors import failed_call
from agentlab.loop.host.call import HostCall
from agentlab.loop.host.lookahead import Lookahead
from agentlab.loop.host.staging import Staging
from agentlab.loop.learner import Learner
from agentlab.spec import blank, copied
from agentlab.tensors.execution import compiled
from agentlab.trainer import Recording
from agentlab.types import Decision, Nest, Tensor, TimeStep, all_true, any_true, arrays


class HostActor(abc.ABC):
    """Acts and learns for a host program: observations and actions are NumPy arrays, and heavy functions are compiled.

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

    def perceive(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what the networks see of the time step that actions `[B, *A]` led to."""
        return self.learner.policy.perception.after(timestep, action)

    @abc.abstractmethod
    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led, and learns when due, at the latest when it next decides."""

    def restart(self, state: Nest, begun: np.ndarray) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun (`[B]` bool)."""
        return self.learner.policy.restart_on_host(state, begun)

    def learn_early(self) -> None:  # noqa: B027 - most learn from the very step that is under way
        """Makes updates that are due after the step under way, in which every row acts, but need nothing of it."""

    def settle_updates(self) -> None:  # noqa: B027 - no update waits where everything is done at once
        """Makes the update that waits for the next decision, if one does."""

    def settle(self) -> None:  # noqa: B027 - nothing waits where everything is done at once
        """Does all that waits, so that the variables hold everything observed so far."""

    def reload(self) -> None:  # noqa: B027 - nothing is counted where everything is done at once
        """Reads the learner's counters again, which were assigned from outside."""

    def draw_again(self) -> None:  # noqa: B027 - where nothing is drawn ahead there is nothing to draw again
        """Draws again what it has drawn ahead, since the sampler's settings have changed."""


class RecordingHostActor(HostActor):
    """For memories that learn from the forward pass that acted: it is recorded on the host, so that it is made only once.

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

    def _act(self, observation: Nest, state: Nest) -> tuple[Decision, Tensor]:
        step = self.learner.steps.read_value()
        decision, losses = self.learner.acting_pass(observation, state, step)
        self.learner.steps.assign(step + self.learner.num_environments)
        return decision, losses

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        recording, self._recording = self._recording, None
        # [n] the rows that acted.
        row = np.flatnonzero(timestep.acted)
        if recording is not None and 0 < len(row) < self.learner.num_environments:
            self._observe_rows(recording, decision, timestep, row)
            return
        self.learner.trainer.record(recording)
        self.learner.observe(decision, tf.nest.map_structure(tf.constant, timestep))

    def _observe_rows(self, recording: Recording, decision: Decision, timestep: TimeStep, row: np.ndarray) -> None:
        """Learns from some rows only: a loss may be a mean of all that it is given, which no row's weight would reach."""
        self.learner.normalizer.add(self.learner.step_between(decision, timestep))
        decision, timestep = tf.nest.map_structure(lambda leaf: tf.gather(leaf, row), (decision, timestep))
        with recording.tape:
            output = tf.gather(recording.output, row)
        self.learner.trainer.record(attrs.evolve(recording, output=output))
        self.learner.memory.add(self.learner.step_between(decision, timestep), tf.constant(row))
        self.learner.update()


class StagedHostActor(HostActor):
    """For memories that store steps: steps wait on the host until the next update, and calls are fused where possible.

    Between updates a step costs one compiled call, the decision, and none where every row explores. Where one update is due,
    it waits for the next decision: remembering, learning and deciding are then one call too. While environments step elsewhere,
    updates are made whose batches hold nothing of that step. All of this changes when something is computed, never what.

    Args:
        learner: decides and learns.
        execution: "eager", "graph" or "xla".
    """

    def __init__(self, learner: Learner, execution: str) -> None:
        super().__init__(learner)
        self._execution = execution
        self._rows = learner.num_environments
        self._staging = Staging(learner.layout())
        # A graph of its own, which is traced once for all calls that begin with it.
        self._remember = compiled(self._remember_plainly, "eager" if execution == "eager" else "graph")
        self._lookahead = Lookahead(learner, execution)

        # Shapes that compiled calls are made for, and the calls made so far.
        self._example = learner.policy.initial_state(self._rows)
        self._calls: dict[str, HostCall] = {}
        self._waits = False  # an update for the next decision
        self._learns_early = False  # as soon as it was asked to; what is compiled for that does for late updates, too
        self._early = 0  # updates made before the step that made them due had ended
        self._most_early = learner.most_early()
        self._last: TimeStep | None = None
        self.reload()

    @property
    def turns(self) -> int:
        return self._steps // self._rows

    def reload(self) -> None:
        self._steps = int(self.learner.steps.numpy())
        self._has_stored = self._steps > 0

    def draw_again(self) -> None:
        self._lookahead.forget()

    def decide(self, observation: Nest, state: Nest) -> Decision:
        # [B] actions, if every row explores: then the model isn't asked.
        explored, arrays = self._lookahead.at(self._steps)
        if explored is not None:
            self.settle_updates()
            action, output, next_state = explored, (), state
        else:
            name = "learn_and_decide" if self._waits else "decide"
            staged = [self._staging.take()] if self._waits else []
            self._waits = False
            action, output, next_state = self._call(name, *staged, *arrays, observation, state)
        self._steps += self._rows
        self._early = 0
        return Decision(copied(observation), self.learner.policy.network_state(state), action, output, next_state)

    def learn_early(self) -> None:
        due = min(self._due(), self._most_early)
        if not due:
            return

        # An update follows those before it, so the first that has to wait for the step ends this.
        self._learns_early = True
        if self._staging.has_rows:
            self._call("remember", self._staging.take())
        (is_known,) = self._call("foresee")
        while is_known and self._early < due:
            (is_known,) = self._call("update_early", np.asarray(self._rows))
            self._early += 1

    def _due(self) -> int:
        """Returns how many updates the step that was decided last makes due."""
        # Updates before the first stored step would have nothing to learn from.
        return self.learner.update_schedule.due(self._steps, self._rows) if self._has_stored else 0

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        self.settle_updates()
        is_whole = all_true(timestep.acted)
        if self._early and not is_whole:
            row = int(np.argmin(timestep.acted))
            clause = f"row {row} did not act, as every row has to at every step where 'is_asynchronous' is True"
            raise failed_call(self.learner.policy.spec.name, "receive", clause)
        last, self._last = self._last, timestep
        if last is not None and not is_whole:
            self._cut(last, timestep)
        self._staging.add(decision, timestep)
        self._has_stored = self._has_stored or any_true(timestep.acted)

        self._learn_late(self._due() - self._early)

    def _learn_late(self, due: int) -> None:
        """Makes the updates that were not made early, or leaves them for the next decision."""
        if due == 1 and not self._learns_early:  # shares a call with the decision
            self._waits = True
            return
        has_to_advance = self._early > 0 and self.learner.normalizer.has_observations
        if due or has_to_advance or self._staging.is_full:
            self._call("advance" if has_to_advance else "remember", self._staging.take())
        update = ("update_early", np.asarray(0)) if self._learns_early else ("update",)
        for _ in range(due):
            self._call(*update)

    def _cut(self, last: TimeStep, timestep: TimeStep) -> None:
        """Tells the memory of the rows that were reset before their episode had ended."""
        abandoned = np.flatnonzero(last.acted & ~last.ended & ~timestep.acted)
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

    def _call(self, name: str, *values: Nest) -> tuple[Nest, ...]:
        if name not in self._calls:
            self._calls[name] = self._compile(name)
        return self._calls[name](*values)

    def _compile(self, name: str) -> HostCall:
        # Signatures of a decision's arguments: [B, *O] observations, and the state [B, ...].
        spec = self.learner.policy.spec
        observation = tf.nest.map_structure(_signature, blank(spec.observation, self._rows))
        state = tf.nest.map_structure(_signature, self._example)
        now = [*self._lookahead.signature, observation, state]
        staged = tf.TensorSpec([None, self._staging.dtype.itemsize], tf.uint8)

        # Staged steps come as bytes [N, row size].
        functions: dict[str, tuple[Callable[..., Nest], list[Nest]]] = {
            "decide": (self._decide, now),
            "learn_and_decide": (self._learn_and_decide, [staged, *now]),
            "learn": (self._learn, [staged]),
            "advance": (self._advance, [staged]),
            "remember": (self._remember, [staged]),
            "update": (self.learner.update, []),
            "foresee": (self._foresee, []),
            "update_early": (self._update_early, [tf.TensorSpec([], tf.int64)]),
        }
        return HostCall(*functions[name], self._execution)

    def _decide(self, step: Tensor, *rest: Nest) -> tuple[Nest, Tensor, Nest]:
        *explored, observation, state = rest
        learner = self.learner
        if self._lookahead.is_active:
            action = learner.policy.decide_given(observation, explored[0] if explored else None, learner.policy_seed(step))
            return action, (), ()
        decision = learner.decide_at(observation, state, step)
        return decision.action, decision.output if learner.request.keep else (), decision.next_state

    def _learn_and_decide(self, staged: Tensor, *now: Nest) -> tuple[Nest, Tensor, Nest]:
        self._learn(staged)
        return self._decide(*now)

    def _learn(self, staged: Tensor) -> None:
        self._remember(staged)
        self.learner.update()

    def _advance(self, staged: Tensor) -> None:
        self._remember(staged)
        self.learner.normalizer.advance()

    def _foresee(self) -> tuple[Tensor]:
        return (self.learner.is_next_known(),)

    def _update_early(self, coming: Tensor) -> tuple[Tensor]:
        self.learner.update_early(coming)
        return self._foresee()

    def _remember_plainly(self, staged: Tensor) -> None:
        decision, timestep, row = self._staging.unpack(staged)
        self.learner.remember(self.learner.step_between(decision, timestep), row)


def make_host_actor(learner: Learner, execution: str) -> HostActor:
    """Returns an actor that acts and learns for a host program; `execution` is "eager", "graph" or "xla"."""
    if learner.memory.records_acting:
        return RecordingHostActor(learner, execution)
    return StagedHostActor(learner, execution)


def _signature(array: np.ndarray) -> tf.TensorSpec:
    return tf.TensorSpec(array.shape, array.dtype)


def _with_arrays(decision: Decision) -> Decision:
    """Returns the decision with its action as arrays, which environments take."""
    return attrs.evolve(decision, action=arrays(decision.action))
