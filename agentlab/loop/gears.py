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
from agentlab.checks.compiled_loop import FirstFault, LoopChecks
from agentlab.checks.ranges import COUNT, Range
from agentlab.checks.timesteps import EnvironmentCheck, failure, unfit_action
from agentlab.checks.values import range_of
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.errors import AgentlabError, EnvironmentFault, first_line
from agentlab.loop import autoreset
from agentlab.loop.agent import Agent
from agentlab.loop.autoreset import Autoreset
from agentlab.loop.guard import guarded
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.steppers import make_stepper
from agentlab.loop.turn import turn
from agentlab.model import initial_state, state_ranges
from agentlab.tensors import variables
from agentlab.tensors.execution import Compiled, compiled, repeat
from agentlab.types import TimeStep, numbered

Groups = dict[str, dict[str, np.ndarray]]
Ranges = dict[str, dict[str, Range]]


class Gear(abc.ABC):
    """Runs an agent in its environments, a chunk of turns at a time."""

    name: str

    @abc.abstractmethod
    def start(self) -> None:
        """Resets the environments and compiles what can be compiled before the first step."""

    @abc.abstractmethod
    def run(self, turns: int) -> None:
        """Takes `turns` steps in every environment; into how many calls they are divided changes no number.

        Raises:
            EnvironmentFault: an environment failed, or gave a number that is not finite.
        """

    @abc.abstractmethod
    def report(self) -> dict[str, float | None]:
        """Returns the statistics of the episodes that ended since the last report."""

    def inexact(self) -> str:
        """Returns why `restore` can't get to the same bits, as a clause; empty if it can."""
        return ""

    def is_whole(self, has_environment: bool) -> bool:
        """Returns whether a checkpoint with or without a group "environment" holds all that `restore` needs."""
        return True

    @abc.abstractmethod
    def state(self) -> Groups:
        """Returns what `restore` needs besides the agent's variables, by group ("loop", on the host "environment") and name."""

    @abc.abstractmethod
    def ranges(self) -> Ranges:
        """Returns what the numbers of those can be, by the same groups and names."""

    @abc.abstractmethod
    def restore(self, groups: Groups) -> None:
        """Goes on from where `state` was taken, after `start`, the agent's variables having been assigned.

        Without a group "environment", as of an environment that keeps its state to itself, new episodes begin.

        Raises:
            EnvironmentFault: the environment doesn't get there.
        """

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
    fault: FirstFault


def _named(carry: Any) -> dict[str, Any]:
    """Returns the leaves of what looks like a `_Carry` by name."""
    fields = [numbered(field.name, getattr(carry, field.name)) for field in attrs.fields(_Carry)]
    return {name: leaf for leaves in fields for name, leaf in leaves.items()}


class DeviceGear(Gear):
    """Repeats the loop body inside one compiled function; nothing leaves the device between two reports.

    Args:
        agent: acts and learns; its `num_environments` and `execution` hold here too.
        environment: pure TensorFlow functions.
        seed: the run's seed.
    """

    name = "device"

    def __init__(self, agent: Agent, environment: DeviceEnvironment, seed: int) -> None:
        agent.learner.prepare()
        self._agent = agent
        self._autoreset = Autoreset(environment, agent.num_environments, seeds.host_seed(seed, "environment"))
        self._checks = LoopChecks(environment.spec)
        self._chunk = compiled(self._run_chunk, agent.execution)

    def start(self) -> None:
        episodes, timestep = self._autoreset.reset()
        first = tf.nest.map_structure(lambda tensor: tensor.numpy(), timestep)
        EnvironmentCheck(self._agent.spec, self._agent.num_environments).begin(first)
        rows = self._agent.num_environments
        recurrent = initial_state(self._agent.model, rows)
        statistics, fault = EpisodeStatistics.start(rows), FirstFault.none()
        carry = _Carry(episodes, timestep.observation, recurrent, statistics, np.int64(0), fault)
        self._variables = tf.nest.map_structure(tf.Variable, carry)
        self._chunk(tf.constant(0, tf.int64))

    def run(self, turns: int) -> None:
        self._chunk(tf.constant(turns, tf.int64))
        if self._variables.fault.turn.numpy():
            self._raise_fault()

    def _raise_fault(self) -> None:
        fault = tf.nest.map_structure(lambda variable: variable.numpy(), self._variables.fault)
        name, clause = self._checks.told(fault, self._agent.num_environments)
        raise (unfit_action if name == "action" else failure)(self._agent.spec.name, int(fault.turn), clause)

    def report(self) -> dict[str, float | None]:
        statistics = self._variables.statistics
        summary = tf.nest.map_structure(lambda variable: variable.numpy(), statistics).summary()
        tf.nest.map_structure(lambda variable, value: variable.assign(value), statistics, statistics.reported())
        return summary

    def state(self) -> Groups:
        return {"loop": {name: variables.copied(variable) for name, variable in _named(self._variables).items()}}

    def ranges(self) -> Ranges:
        carry = _Carry(
            episodes=(),
            observation=range_of(self._agent.spec.observation),
            recurrent=state_ranges(self._agent.model),
            statistics=EpisodeStatistics.ranges(),
            index=COUNT,
            fault=FirstFault.ranges(),
        )
        episodes = autoreset.ranges(self._autoreset.environment, self._variables.episodes)
        return {"loop": {**_named(carry), **episodes}}

    def restore(self, groups: Groups) -> None:
        for name, variable in _named(self._variables).items():
            variable.assign(groups["loop"][name])

    def trace_count(self) -> int:
        """Returns how often the loop was traced; 0 if it runs eagerly."""
        return self._chunk.trace_count() if isinstance(self._chunk, Compiled) else 0

    def _run_chunk(self, turns: Any) -> None:
        carry = tf.nest.map_structure(lambda variable: variable.read_value(), self._variables)
        carry = repeat(self._turn, carry, turns)
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._variables, carry)

    def _turn(self, carry: _Carry) -> _Carry:
        index = carry.index + 1

        actions = []

        def step_environment(episodes: Any, action: Any) -> tuple[Any, TimeStep]:
            actions.append(action)
            return self._autoreset.step(episodes, action, index)

        episodes, timestep, recurrent = turn(self._agent, step_environment, carry.episodes, carry.observation, carry.recurrent)
        statistics = carry.statistics.after(timestep.reward, timestep.terminated | timestep.truncated)
        fault = self._checks.after(carry.fault, index, actions[0], timestep)
        return _Carry(episodes, timestep.observation, recurrent, statistics, index, fault)


class HostGear(Gear):
    """Repeats the loop body around `Environment.step`, for any environment.

    Args:
        agent: acts and learns.
        environment: of as many rows as the agent expects.
        seed: the run's seed.
    """

    name = "host"

    def __init__(self, agent: Agent, environment: Environment, seed: int) -> None:
        self._learner = agent.learner
        self._stepper = make_stepper(agent.learner, agent.execution)
        self._environment = guarded(environment)
        self._seed = seed
        self._check = EnvironmentCheck(environment.spec, agent.num_environments)
        self._statistics = EpisodeStatistics.start(agent.num_environments)

    def start(self) -> None:
        self._reset("environment")

    def _reset(self, stream: str) -> None:
        timestep = self._environment.reset(seeds.host_seed(self._seed, stream))
        self._observation = self._check.begin(timestep).observation

    def run(self, turns: int) -> None:
        if not turns:
            return
        with _frozen_heap(), self._environment:
            timestep = self._take(self._stepper.start(self._observation))
            for _ in range(turns - 1):
                timestep = self._take(self._stepper.step(timestep))
            self._stepper.observe(timestep)
        self._observation = timestep.observation

    def _take(self, action: np.ndarray) -> TimeStep:
        timestep = self._check.take(self._environment.step(action), action)
        self._count(timestep)
        return timestep

    def report(self) -> dict[str, float | None]:
        summary = self._statistics.summary()
        self._statistics = self._statistics.reported()
        return summary

    def state(self) -> Groups:
        statistics = {f"statistics/{name}": np.array(value) for name, value in attrs.asdict(self._statistics).items()}
        environment = {name: np.array(value) for name, value in self._environment.state().items()}
        return {"loop": {**statistics, **self._stepper.state()}, "environment": environment}

    def ranges(self) -> Ranges:
        statistics = {f"statistics/{name}": span for name, span in attrs.asdict(EpisodeStatistics.ranges()).items()}
        return {"loop": {**statistics, **self._stepper.ranges()}, "environment": self._environment.ranges()}

    def restore(self, groups: Groups) -> None:
        loop = groups["loop"]
        self._stepper.restore(loop)
        self._check.turns = self._stepper.turns
        names = [field.name for field in attrs.fields(EpisodeStatistics)]
        self._statistics = EpisodeStatistics(**{name: loop[f"statistics/{name}"] for name in names})
        if groups.get("environment"):
            self._observation = self._restored(groups["environment"])
        else:
            self._begin_anew()

    def _restored(self, state: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the observations of the environment brought back to a state, which a stranger may have written."""
        try:
            return self._environment.restore(state)
        except AgentlabError:
            raise
        except Exception as error:  # of whatever kind an environment's own code raises
            raise EnvironmentFault(
                f"The environment {self._learner.policy.spec.name!r} can't be brought back to where it was at the checkpoint: "
                f"{first_line(error)}. Was the checkpoint exchanged?"
            ) from error

    def inexact(self) -> str:
        return self._environment.inexact()

    def is_whole(self, has_environment: bool) -> bool:
        return has_environment

    def _begin_anew(self) -> None:
        """Begins other episodes than at the start: what was gathered of those under way is gone with them."""
        steps = int(self._learner.policy.steps.numpy())
        self._reset(f"environment, resumed at step {steps}")
        nothing = np.zeros_like(self._statistics.running_return)
        self._statistics = attrs.evolve(self._statistics, running_return=nothing, running_length=nothing)

    def _count(self, timestep: TimeStep) -> None:
        acted = 1.0 if isinstance(timestep.first, tuple) else ~timestep.first
        self._statistics = self._statistics.continued(timestep.reward, acted)
        ended = timestep.terminated | timestep.truncated
        if np.count_nonzero(ended):
            self._statistics = self._statistics.closed(ended)

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
