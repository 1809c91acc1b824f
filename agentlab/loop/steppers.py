"""Stepper: the loop body as a host program runs it, a compiled call around each step of somebody else's environment."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab.checks.ranges import Range
from agentlab.loop.learners import ImmediateLearner, Learner, MemoryLearner
from agentlab.loop.lookahead import Foresight
from agentlab.loop.staging import Stage
from agentlab.model import initial_state, restarted, state_ranges
from agentlab.tensors.added_losses import ForwardTape, sum_of_losses
from agentlab.tensors.execution import GraphCall, compiled
from agentlab.types import Decision, TimeStep, numbered


class Stepper(abc.ABC):
    """Turns time steps into actions, and has a learner learn between."""

    def __init__(self, learner: Learner) -> None:
        learner.prepare()
        self._spec = learner.policy.spec
        self._rows = learner.num_environments
        self._pending: Any = None

    @abc.abstractmethod
    def start(self, observation: np.ndarray) -> np.ndarray:
        """Returns actions `[B]` for observations `[B, *O]` that no action of this agent led to."""

    @abc.abstractmethod
    def observe(self, timestep: TimeStep) -> None:
        """Observes where the last actions led and learns if updates are due, without acting again."""

    @abc.abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Returns by name what `restore` needs besides the learner's variables; not while an action is under way."""

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be, by the same names."""
        return {}

    @abc.abstractmethod
    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from where `state` was taken, the learner's variables having been assigned."""

    def settle(self) -> None:  # noqa: B027 - nothing is counted where it isn't told at once
        """Tells the learner's variables what was only counted here."""

    def step(self, timestep: TimeStep) -> np.ndarray:
        """Returns the next actions `[B]`, having observed where the last ones led."""
        if self._pending is not None:
            self.observe(timestep)
        return self.start(timestep.observation)

    @property
    @abc.abstractmethod
    def turns(self) -> int:
        """How many times it has acted, since the beginning of the agent's life."""


class ImmediateStepper(Stepper):
    """Runs the two halves of the loop body around the host's step, with the heavy calls inside them compiled.

    The tape that recorded the forward pass is the host's own, so that the pass is not made a second time for learning.
    """

    def __init__(self, learner: ImmediateLearner, execution: str) -> None:
        super().__init__(learner)
        self._learner = learner
        self._recurrent = initial_state(learner.policy.model, self._rows)
        self._forward = compiled(self._act, execution)

    @property
    def turns(self) -> int:
        return int(self._learner.policy.steps.numpy()) // self._rows

    def state(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(leaf) for name, leaf in numbered("recurrent", self._recurrent).items()}

    def ranges(self) -> dict[str, Range]:
        return numbered("recurrent", state_ranges(self._learner.policy.model))

    def restore(self, state: dict[str, np.ndarray]) -> None:
        leaves = [tf.constant(state[name]) for name in numbered("recurrent", self._recurrent)]
        self._recurrent = tf.nest.pack_sequence_as(self._recurrent, leaves)

    def start(self, observation: np.ndarray) -> np.ndarray:
        observed = tf.constant(observation)
        with ForwardTape() as tape:
            action, output, recurrent, tape.added_loss = self._forward(observed, self._recurrent)
        self._pending = Decision(observed, action, output, recurrent, tape)
        return action.numpy()

    def _act(self, observation: Any, recurrent: Any) -> tuple[Any, Any, Any, Any]:
        policy = self._learner.policy
        decision = policy.decide(observation, recurrent, training=True)
        # An output of the compiled call: what the model keeps of it belongs to the trace, out of the host's reach.
        return decision.action, decision.output, decision.recurrent, sum_of_losses(policy.model)

    def observe(self, timestep: TimeStep) -> None:
        decision, self._pending = self._pending, None
        self._learner.observe(decision, tf.nest.map_structure(tf.constant, timestep))
        self._recurrent = restarted(self._learner.policy.model, decision.recurrent, tf.constant(timestep.begun))


class StagedStepper(Stepper):
    """Compiled calls around each step, for an agent that learns from a memory.

    Nothing reads the memory between two updates, so transitions wait on the host until the next one: between updates a step
    costs one compiled call, the action, and none where every row explores; with one update due, remembering, learning and
    acting are one call too.
    """

    def __init__(self, learner: MemoryLearner, execution: str) -> None:
        super().__init__(learner)
        self._learner = learner
        self._execution = execution
        self._steps = int(learner.policy.steps.numpy())
        self._stage = Stage(self._spec, self._rows)
        self._experienced = False  # whether there ever was a transition
        self._ended: np.ndarray | None = None  # [B] bool, which episodes did where the last actions led
        self._foresight = Foresight(learner.policy, self._rows, execution)
        self._train = compiled(learner.train, "xla") if execution == "xla" else learner.train
        self._calls: dict[str, Any] = {}

    @property
    def turns(self) -> int:
        return self._steps // self._rows

    def state(self) -> dict[str, np.ndarray]:
        if self._stage.has_rows:
            self._call("remember", self._stage.take())
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self._steps = int(self._learner.policy.steps.numpy())
        self._experienced = self._steps > 0

    def start(self, observation: np.ndarray) -> np.ndarray:
        action, given = self._foresight.at(self._steps)
        if action is None:
            action = self._call("decide", observation, *given).numpy()
        return self._acted(observation, action)

    def step(self, timestep: TimeStep) -> np.ndarray:
        if self._pending is None:
            return self.start(timestep.observation)
        due = self._receive(timestep)
        if due == 1:
            action, given = self._foresight.at(self._steps)
            if action is None:
                action = self._call("turn", self._stage.take(), timestep.observation, *given).numpy()
                return self._acted(timestep.observation, action)
        self._learn(due)
        return self.start(timestep.observation)

    def observe(self, timestep: TimeStep) -> None:
        self._learn(self._receive(timestep))
        self.settle()

    def settle(self) -> None:
        self._learner.policy.steps.assign(self._steps)

    def _acted(self, observation: np.ndarray, action: np.ndarray) -> np.ndarray:
        self._pending = (np.array(observation), action.copy())  # whoever has the others may change them
        self._steps += self._rows
        return action

    def _receive(self, timestep: TimeStep) -> int:
        """Stages where the last actions led and returns how many updates are due."""
        observation, action = self._pending
        self._pending = None
        if not isinstance(timestep.first, tuple):
            self._cut(timestep.first)
        self._ended = timestep.terminated | timestep.truncated
        self._stage.add(observation, action, timestep)
        self._experienced = self._experienced or self._stage.has_rows
        if not self._experienced:
            return 0
        return self._learner.trainer.updates_due(self._steps, self._rows)

    def _cut(self, first: np.ndarray) -> None:
        """Tells the memory of the rows whose episode had not ended when they were reset."""
        if self._ended is None:
            return
        given_up = np.flatnonzero(first & ~self._ended)
        if len(given_up):
            if self._stage.has_rows:
                self._call("remember", self._stage.take())
            self._learner.memory.cut(tf.constant(given_up, tf.int64))

    def _learn(self, due: int) -> None:
        if due == 1:
            self._call("learn", self._stage.take())
            return
        if due or self._stage.is_full:
            self._call("remember", self._stage.take())
        for _ in range(due):
            self._call("update")

    def _call(self, name: str, *arrays: np.ndarray) -> Any:
        if name not in self._calls:
            self._calls[name] = self._compile(name)
        outputs = self._calls[name](*arrays)
        return outputs[0] if outputs else None

    def _compile(self, name: str) -> Any:
        observation = self._spec.observation
        now = [tf.TensorSpec([self._rows, *observation.shape], observation.dtype), *self._foresight.signature]
        staged = tf.TensorSpec([None, self._stage.dtype.itemsize], tf.uint8)
        function, signature = {
            "decide": (self._decide, now),
            "turn": (self._turn, [staged, *now]),
            "learn": (self._learn_staged, [staged]),
            "remember": (self._remember, [staged]),
            "update": (self._update, []),
        }[name]
        if self._execution == "eager":
            return lambda *arrays: [function(*(tf.constant(array) for array in arrays))]  # type: ignore[operator]
        return GraphCall(function, signature)  # type: ignore[arg-type]

    def _decide(self, observation: Any, *given: Any) -> Any:
        policy = self._learner.policy
        return policy.decide_foreseen(observation, *given) if given else policy.decide(observation).action

    def _turn(self, staged: Any, observation: Any, *given: Any) -> Any:
        self._learn_staged(staged)
        return self._decide(observation, *given)

    def _learn_staged(self, staged: Any) -> None:
        self._remember(staged)
        self._update()

    def _remember(self, staged: Any) -> None:
        self._learner.remember(*self._stage.unpack(staged))

    def _update(self) -> None:
        self._learner.update(self._train)


def make_stepper(learner: Learner, execution: str) -> Stepper:
    """Returns what runs a learner around a host program's own steps; `execution` is "eager", "graph" or "xla"."""
    if isinstance(learner, ImmediateLearner):
        return ImmediateStepper(learner, execution)
    if isinstance(learner, MemoryLearner):
        return StagedStepper(learner, execution)
    raise TypeError(f"{type(learner).__name__} has no stepper.")
