"""Stepper: the loop body as a host program runs it, a compiled call around each step of somebody else's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.execution import GraphCall, compiled
from agentlab.spec import EnvironmentSpec, conform
from agentlab.types import TimeStep

if TYPE_CHECKING:
    from agentlab.agent import Agent

STAGE_ROWS = 1_024  # kept on the host before they go to the memory, where updates are further apart


class _Stage:
    """Where actions led, waiting on the host: rows of one record array, which reaches TensorFlow as a single tensor of bytes.

    Turning a NumPy array into a tensor costs more than a small operation on it, so a step is handed over in one piece.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        observed = (spec.observation.dtype, spec.observation.shape)
        fields: list[Any] = [
            ("observation", *observed),
            ("action", spec.action.dtype, spec.action.shape),
            ("reward", "float32"),
            ("terminated", "bool"),
            ("final_observation", *observed),
        ]
        if spec.target is not None:
            fields.append(("target", spec.target.dtype, spec.target.shape))
        self.dtype = np.dtype(fields)
        self._records = np.zeros(STAGE_ROWS + rows, self.dtype)
        self._count = 0

    @property
    def is_full(self) -> bool:
        return self._count >= STAGE_ROWS

    def add(self, observation: np.ndarray, action: np.ndarray, timestep: TimeStep) -> None:
        rows: Any = slice(None) if isinstance(timestep.first, tuple) else ~np.asarray(timestep.first)
        begin = self._count
        self._count += len(action[rows])
        records = self._records[begin : self._count]
        records["observation"] = observation[rows]
        records["action"] = action[rows]
        for name in self.dtype.names[2:]:  # type: ignore[index]
            records[name] = getattr(timestep, name)[rows]

    def take(self) -> np.ndarray:
        """Returns the waiting rows as bytes `[N, row size]`, which stay valid until the next `add`, and forgets them."""
        count, self._count = self._count, 0
        return self._records[:count].view(np.uint8).reshape(count, self.dtype.itemsize)

    def unpack(self, data: Any) -> tuple[Any, Any, TimeStep]:
        """Returns (observation, action, time step) from the bytes of N rows; traceable."""
        leaves = {name: self._unpack_field(data, name) for name in self.dtype.names}  # type: ignore[union-attr]
        observation, action = leaves.pop("observation"), leaves.pop("action")
        return observation, action, TimeStep(leaves["final_observation"], truncated=(), **leaves)

    def _unpack_field(self, data: Any, name: str) -> Any:
        dtype, offset = self.dtype.fields[name][:2]  # type: ignore[index]
        part = data[:, offset : offset + dtype.itemsize]
        if dtype.base == np.bool_:
            return tf.reshape(tf.cast(part, tf.bool), [-1, *dtype.shape])
        return tf.reshape(tf.bitcast(tf.reshape(part, [-1, *_byte_shape(dtype.base)]), dtype.base.name), [-1, *dtype.shape])


def _byte_shape(dtype: np.dtype) -> list[int]:
    return [dtype.itemsize] if dtype.itemsize > 1 else []


class Stepper:
    """Turns time steps into actions, and has the agent learn between.

    Nothing reads the memory between two updates, so transitions wait on the host until the next one: between updates a step
    costs one compiled call, the action; with one update due, remembering, learning and acting are one call too.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._rows = agent.num_environments
        self._steps = int(agent.exploration.steps.numpy())
        self._pending: tuple[np.ndarray, np.ndarray] | None = None
        self._stage = _Stage(agent.spec, self._rows)
        self._train = compiled(agent.train, agent.execution)
        self._calls: dict[str, Any] = {}

    def start(self, observation: np.ndarray) -> np.ndarray:
        """Returns actions `[B]` for observations `[B, *O]` that no action of this agent led to."""
        return self._acted(observation, self._call("decide", observation))

    def step(self, timestep: TimeStep) -> np.ndarray:
        """Returns the next actions `[B]`, having observed where the last ones led."""
        if self._pending is None:
            return self.start(timestep.observation)
        due = self._receive(timestep)
        if due == 1:
            return self._acted(timestep.observation, self._call("turn", timestep.observation, self._stage.take()))
        self._learn(due)
        return self.start(timestep.observation)

    def observe(self, timestep: TimeStep) -> None:
        """Observes where the last actions led and learns if updates are due, without acting again."""
        self._learn(self._receive(timestep))

    def step_once(self, timestep: TimeStep) -> np.ndarray:
        """As `step`, for time steps from outside: checked, and with one environment also without the batch axis.

        Raises:
            UsageError: the observation's shape or dtype, or the number of rows, is wrong.
        """
        spec = self._agent.spec.observation
        observation = conform(timestep.observation, spec, "The agent")
        batched = observation.ndim > len(spec.shape)
        rows = len(observation) if batched else 1
        if rows != self._rows:
            raise errors.UsageError(f"The agent got {rows} observations; expected {self._rows}, one per environment.")
        timestep = attrs.evolve(timestep, observation=observation)
        if batched:
            return self.step(timestep)
        return self.step(tf.nest.map_structure(lambda leaf: np.asarray(leaf)[None], timestep))[0]

    def _acted(self, observation: np.ndarray, action: Any) -> np.ndarray:
        self._pending = (np.array(observation), action.numpy())
        self._steps += self._rows
        return self._pending[1]

    def _receive(self, timestep: TimeStep) -> int:
        """Stages where the last actions led and returns how many updates are due."""
        observation, action = self._pending  # type: ignore[misc]
        self._pending = None
        self._stage.add(observation, action, timestep)
        return self._agent.trainer.updates_due(self._steps, self._rows)

    def _learn(self, due: int) -> None:
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
        observation = self._agent.spec.observation
        now = tf.TensorSpec([self._rows, *observation.shape], observation.dtype)
        staged = tf.TensorSpec([None, self._stage.dtype.itemsize], tf.uint8)
        function, signature = {
            "decide": (self._agent.decide, [now]),
            "turn": (self._turn, [now, staged]),
            "remember": (self._remember, [staged]),
            "update": (self._update, []),
        }[name]
        if self._agent.execution == "eager":
            return lambda *arrays: [function(*(tf.constant(array) for array in arrays))]  # type: ignore[operator]
        return GraphCall(function, signature)  # type: ignore[arg-type]

    def _turn(self, observation: Any, staged: Any) -> Any:
        self._remember(staged)
        self._update()
        return self._agent.decide(observation)

    def _remember(self, staged: Any) -> None:
        self._agent.remember(*self._stage.unpack(staged))

    def _update(self) -> None:
        self._agent.update(self._train)
