"""The gears repeat the loop body: the device gear inside one compiled function, the host gear around `Environment.step`."""

from __future__ import annotations

import abc
import contextlib
import gc
from collections.abc import Iterator

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.checks.compiled_loop import FirstFault, LoopChecks
from agentlab.checks.timesteps import EnvironmentCheck, failure, unfit_action
from agentlab.checks.values import range_of
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.errors import AgentlabError, EnvironmentFault, first_line
from agentlab.foreign.guard import guarded
from agentlab.loop import autoreset
from agentlab.loop.agent import Agent
from agentlab.loop.autoreset import Autoreset
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.turn import turn
from agentlab.spec import copied, map_space
from agentlab.system.ranges import COUNT, Range
from agentlab.tensors import variables
from agentlab.tensors.execution import Compiled, compiled, repeat
from agentlab.types import Nest, Tensor, TimeStep, numbered

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

    episodes: Nest
    observation: Nest
    state: Nest
    statistics: EpisodeStatistics
    index: Tensor
    fault: FirstFault


def _named(carry: _Carry) -> dict[str, Tensor]:
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

        # Everything that a turn hands to the next lives in variables between two chunks.
        rows = self._agent.num_environments
        state = self._agent.learner.policy.initial_state(rows)
        statistics, fault = EpisodeStatistics.start(rows), FirstFault.none()
        carry = _Carry(episodes, timestep.observation, state, statistics, np.int64(0), fault)
        self._variables = tf.nest.map_structure(tf.Variable, carry)
        self._chunk(tf.constant(0, tf.int64))

    def run(self, turns: int) -> None:
        self._chunk(tf.constant(turns, tf.int64))
        if self._variables.fault.turn.numpy():
            self._raise_fault()

    def _raise_fault(self) -> None:
        fault = tf.nest.map_structure(lambda variable: variable.numpy(), self._variables.fault)
        name, clause = self._checks.describe(fault, self._agent.num_environments)
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
            observation=map_space(range_of, self._agent.spec.observation),
            state=self._agent.learner.policy.state_ranges(),
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

    def _run_chunk(self, turns: Tensor) -> None:
        carry = tf.nest.map_structure(lambda variable: variable.read_value(), self._variables)
        carry = repeat(self._turn, carry, turns)
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._variables, carry)

    def _turn(self, carry: _Carry) -> _Carry:
        index = carry.index + 1

        # The checks look at the actions, which `turn` hands to the environment only.
        actions: list[Nest] = []

        def step_environment(episodes: Nest, action: Nest) -> tuple[Nest, TimeStep]:
            actions.append(action)
            return self._autoreset.step(episodes, action, index)

        episodes, timestep, state = turn(self._agent.learner, step_environment, carry.episodes, carry.observation, carry.state)

        # [B] sums of the running episodes, and the first thing that was wrong.
        statistics = carry.statistics.after(timestep.reward, timestep.ended)
        fault = self._checks.after(carry.fault, index, actions[0], timestep)
        return _Carry(episodes, timestep.observation, state, statistics, index, fault)


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
        self._actor = agent.host_actor()
        self._environment = guarded(environment)
        self._seed = seed
        self._check = EnvironmentCheck(environment.spec, agent.num_environments)
        self._state = agent.learner.policy.initial_state(agent.num_environments)
        self._statistics = EpisodeStatistics.start(agent.num_environments)

    def start(self) -> None:
        self._reset("environment")

    def _reset(self, stream: str) -> None:
        timestep = self._environment.reset(seeds.host_seed(self._seed, stream))
        self._observation = self._check.begin(timestep).observation

    def run(self, turns: int) -> None:
        observation, state = self._observation, self._state
        with _frozen_heap(), self._environment:
            for _ in range(turns):
                _, timestep, state = turn(self._actor, self._step, (), observation, state)
                observation = timestep.observation
            self._actor.settle_updates()
        self._observation, self._state = observation, state

    def _step(self, nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        own = copied(action)  # the environment may change it
        timestep = self._check.take(self._environment.step(own), action)
        self._count(timestep)
        return nothing, timestep

    def report(self) -> dict[str, float | None]:
        summary = self._statistics.summary()
        self._statistics = self._statistics.reported()
        return summary

    def state(self) -> Groups:
        self._actor.settle()
        statistics = {f"statistics/{name}": np.array(value) for name, value in attrs.asdict(self._statistics).items()}
        state = {name: np.asarray(leaf) for name, leaf in numbered("state", self._state).items()}
        environment = {name: np.array(value) for name, value in self._environment.state().items()}
        return {"loop": {**statistics, **state}, "environment": environment}

    def ranges(self) -> Ranges:
        statistics = {f"statistics/{name}": span for name, span in attrs.asdict(EpisodeStatistics.ranges()).items()}
        state = numbered("state", self._learner.policy.state_ranges())
        return {"loop": {**statistics, **state}, "environment": self._environment.ranges()}

    def restore(self, groups: Groups) -> None:
        loop = groups["loop"]
        # The counters of the learner were restored with the agent; the model's state is the loop's.
        self._actor.reload()
        self._check.turns = int(self._learner.steps.numpy()) // self._learner.num_environments
        leaves = [tf.constant(loop[name]) for name in numbered("state", self._state)]
        self._state = tf.nest.pack_sequence_as(self._state, leaves)

        # [B] sums of the running episodes.
        names = [field.name for field in attrs.fields(EpisodeStatistics)]
        self._statistics = EpisodeStatistics(**{name: loop[f"statistics/{name}"] for name in names})
        if groups.get("environment"):
            self._observation = self._restored(groups["environment"])
        else:
            self._start_again()

    def _restored(self, state: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the observations of the environment brought back to a state, which a stranger may have written."""
        try:
            return self._environment.restore(state)
        except AgentlabError:
            raise
        except Exception as error:  # of whatever kind an environment's own code raises
            raise EnvironmentFault(
                f"The environment {self._environment.spec.name!r} can't be brought back to where it was at the checkpoint: "
                f"{first_line(error)}. Was the checkpoint exchanged?"
            ) from error

    def inexact(self) -> str:
        return self._environment.inexact()

    def is_whole(self, has_environment: bool) -> bool:
        return has_environment

    def _start_again(self) -> None:
        """Begins other episodes than at the start: what was counted of the running ones is lost with them."""
        steps = int(self._learner.steps.numpy())
        self._reset(f"environment, resumed at step {steps}")
        zeros = np.zeros_like(self._statistics.running_return)
        self._statistics = attrs.evolve(self._statistics, running_return=zeros, running_length=zeros)

    def _count(self, timestep: TimeStep) -> None:
        self._statistics = self._statistics.continued(timestep.reward, timestep.acted)
        ended = timestep.ended
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
