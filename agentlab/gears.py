"""The gears repeat the loop body: the device gear inside one compiled function, the host gear around `Environment.step`."""

from __future__ import annotations

import abc
import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.agent import Agent
from agentlab.autoreset import Autoreset
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.execution import Compiled, compiled, repeat
from agentlab.loop import turn
from agentlab.metrics import EpisodeStatistics
from agentlab.model import initial_state
from agentlab.stepper import make_stepper
from agentlab.types import TimeStep


class Gear(abc.ABC):
    """Runs an agent in its environments, a chunk of turns at a time."""

    name: str

    @abc.abstractmethod
    def start(self) -> None:
        """Resets the environments and compiles what can be compiled before the first step."""

    @abc.abstractmethod
    def run(self, turns: int) -> dict[str, float | None]:
        """Takes `turns` steps in every environment and returns the statistics of the episodes that ended."""

    def close(self) -> None:  # noqa: B027 - the device gear holds nothing to release
        """Releases the environments."""


@attrs.frozen(eq=False)
class _Carry:
    """What one turn hands to the next in the device gear."""

    episodes: Any
    observation: Any
    recurrent: Any
    statistics: EpisodeStatistics
    index: Any


class DeviceGear(Gear):
    """Repeats the loop body inside one compiled function; nothing leaves the device between two reports.

    Args:
        agent: acts and learns; its `num_environments` and `execution` hold here too.
        environment: pure TensorFlow functions.
        seed: the run's seed.
    """

    name = "device"

    def __init__(self, agent: Agent, environment: DeviceEnvironment, seed: int) -> None:
        self._agent = agent
        self._autoreset = Autoreset(environment, agent.num_environments, seeds.host_seed(seed, "environment"))
        self._chunk = compiled(self._run_chunk, agent.execution)

    def start(self) -> None:
        episodes, timestep = self._autoreset.reset()
        rows = self._agent.num_environments
        recurrent = initial_state(self._agent.model, rows)
        carry = _Carry(episodes, timestep.observation, recurrent, EpisodeStatistics.start(rows), np.int64(0))
        self._variables = tf.nest.map_structure(tf.Variable, carry)
        self._chunk(tf.constant(0, tf.int64))

    def run(self, turns: int) -> dict[str, float | None]:
        self._chunk(tf.constant(turns, tf.int64))
        statistics = self._variables.statistics
        summary = tf.nest.map_structure(lambda variable: variable.numpy(), statistics).summary()
        tf.nest.map_structure(lambda variable, value: variable.assign(value), statistics, statistics.reported())
        return summary

    def trace_count(self) -> int:
        """Returns how often the loop was traced; 0 if it runs eagerly."""
        return self._chunk.trace_count() if isinstance(self._chunk, Compiled) else 0

    def _run_chunk(self, turns: Any) -> None:
        carry = tf.nest.map_structure(lambda variable: variable.read_value(), self._variables)
        carry = repeat(self._turn, carry, turns)
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._variables, carry)

    def _turn(self, carry: _Carry) -> _Carry:
        index = carry.index + 1

        def step_environment(episodes: Any, action: Any) -> tuple[Any, TimeStep]:
            return self._autoreset.step(episodes, action, index)

        episodes, timestep, recurrent = turn(self._agent, step_environment, carry.episodes, carry.observation, carry.recurrent)
        ended = tf.cast(timestep.terminated | timestep.truncated, tf.float32)
        statistics = carry.statistics.after(timestep.reward, ended)
        return _Carry(episodes, timestep.observation, recurrent, statistics, index)


class HostGear(Gear):
    """Repeats the loop body around `Environment.step`, for any environment.

    Args:
        agent: acts and learns.
        environment: of as many rows as the agent expects.
        seed: the run's seed.
    """

    name = "host"

    def __init__(self, agent: Agent, environment: Environment, seed: int) -> None:
        self._stepper = make_stepper(agent.learner, agent.execution)
        self._environment = environment
        self._seed = seed
        self._statistics = EpisodeStatistics.start(agent.num_environments)

    def start(self) -> None:
        self._timestep = self._environment.reset(seeds.host_seed(self._seed, "environment"))

    def run(self, turns: int) -> dict[str, float | None]:
        with _frozen_heap():
            for index in range(turns):
                observed = self._timestep
                action = self._stepper.step(observed) if index else self._stepper.start(observed.observation)
                self._timestep = self._environment.step(action)
                self._count(self._timestep)
        if turns:
            self._stepper.observe(self._timestep)
        summary = self._statistics.summary()
        self._statistics = self._statistics.reported()
        return summary

    def _count(self, timestep: TimeStep) -> None:
        ended = (timestep.terminated | timestep.truncated).astype(np.float32)
        acted = 1.0 if isinstance(timestep.first, tuple) else 1.0 - timestep.first
        self._statistics = self._statistics.after(timestep.reward, ended, acted)

    def close(self) -> None:
        self._environment.close()


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    """Spares the garbage collector TensorFlow's and Keras's hundreds of thousands of living objects, a third of a host step."""
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
