"""The device gear: repeats the loop body inside one compiled function."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.checks.compiled_loop import FirstFault, LoopChecks
from agentlab.checks.timesteps import EnvironmentCheck, failure, unfit_action
from agentlab.checks.values import range_of
from agentlab.environment import DeviceEnvironment
from agentlab.loop import autoreset
from agentlab.loop.agent import Agent
from agentlab.loop.autoreset import Autoreset
from agentlab.loop.gear import Gear, Groups, Ranges
from agentlab.loop.statistics import EpisodeStatistics
from agentlab.loop.turn import Actor, turn
from agentlab.spec import map_space
from agentlab.system.ranges import COUNT
from agentlab.tensors import variables
from agentlab.tensors.execution import Compiled, compiled, repeat
from agentlab.types import Decision, Nest, Tensor, TimeStep, numbered


@attrs.frozen(eq=False)
class _Carry:
    """The state that one turn passes to the next in the device gear."""

    episodes: Nest
    observation: Nest
    state: Nest
    statistics: EpisodeStatistics
    index: Tensor
    fault: FirstFault


def _named(carry: _Carry) -> dict[str, Tensor]:
    """Returns the leaves of a `_Carry`, or of a structure like one, by name."""
    fields = [numbered(field.name, getattr(carry, field.name)) for field in attrs.fields(_Carry)]
    return {name: leaf for leaves in fields for name, leaf in leaves.items()}


@attrs.frozen
class _Gatherer:
    """Acts and remembers as a learner does, and leaves the updates to the loop around it. An `Actor`."""

    decide: Callable[[Nest, Nest], Decision]
    perceive: Callable[[TimeStep, Nest], TimeStep]
    observe: Callable[[Decision, TimeStep], None]
    restart: Callable[[Nest, Tensor], Nest]


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

        # The first observations are checked on the host, where the message can say what is wrong.
        first = tf.nest.map_structure(lambda tensor: tensor.numpy(), timestep)
        EnvironmentCheck(self._agent.spec, self._agent.num_environments).begin(first)

        rows, policy = self._agent.num_environments, self._agent.learner.policy
        observation, state = policy.perception.first(timestep.observation), policy.initial_state(rows)
        statistics, fault = EpisodeStatistics.start(rows), FirstFault.none()

        # Variables hold what a turn leaves to the next; zero turns compile the loop.
        carry = _Carry(episodes, observation, state, statistics, np.int64(0), fault)
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
            observation=map_space(range_of, self._agent.learner.policy.spec.observation),
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
        last = carry.index + turns
        learner = self._agent.learner
        if learner.learns_at_every_turn:
            carry = repeat(lambda before: self._turn(learner, before), carry, turns)
        else:
            carry = repeat(lambda before: self._round(before, last), carry, turns, stop=lambda after: after.index >= last)
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._variables, carry)

    def _round(self, carry: _Carry, last: Tensor) -> _Carry:
        """Takes turns until updates are due or the `last` turn is taken, then makes the updates.

        The loop of turns carries nothing that updates change: XLA would copy all weights and moments at every turn.
        """
        learner = self._agent.learner
        gatherer = _Gatherer(learner.decide, learner.perceive, learner.gather, learner.restart)

        def take(before: tuple[_Carry, Tensor]) -> tuple[_Carry, Tensor]:
            return self._turn(gatherer, before[0]), learner.due()

        start = (carry, tf.constant(0, tf.int64))
        carry, due = repeat(take, start, last - carry.index, stop=lambda after: after[1] > 0)
        learner.learn(due)
        return carry

    def _turn(self, actor: Actor, carry: _Carry) -> _Carry:
        index = carry.index + 1

        # The checks look at what goes to the environment and comes from it.
        crossed: list[tuple[Nest, TimeStep]] = []

        def step_environment(episodes: Nest, action: Nest) -> tuple[Nest, TimeStep]:
            episodes, timestep = self._autoreset.step(episodes, action, index)
            crossed.append((action, timestep))
            return episodes, timestep

        episodes, timestep, state = turn(actor, step_environment, carry.episodes, carry.observation, carry.state)

        # [B] sums of the running episodes, and the first fault.
        statistics = carry.statistics.after(tf.cast(timestep.reward, tf.float64), tf.cast(timestep.ended, tf.float64))
        fault = self._checks.after(carry.fault, index, *crossed[0])
        return _Carry(episodes, timestep.observation, state, statistics, index, fault)
