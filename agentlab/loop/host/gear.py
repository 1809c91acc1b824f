"""The host gear: repeats the loop body around `Environment.step`."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.checks.values import range_of
from agentlab.environment import Environment
from agentlab.errors import AgentlabError, EnvironmentFault, first_line
from agentlab.foreign.guard import guarded
from agentlab.loop.agent import Agent
from agentlab.loop.gear import Gear, Groups, Ranges
from agentlab.loop.statistics import EpisodeStatistics, WaitingStatistics
from agentlab.loop.turn import turn
from agentlab.spec import copied, map_space
from agentlab.types import Nest, TimeStep, numbered


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
        is_asynchronous = self._environment.is_asynchronous
        self._take_step = self._step_while_learning if is_asynchronous else self._environment.step
        self._seed = seed
        self._check = EnvironmentCheck(environment.spec, agent.num_environments)
        self._perception = agent.learner.policy.perception
        self._state = agent.learner.policy.initial_state(agent.num_environments)
        self._statistics = WaitingStatistics(EpisodeStatistics.start(agent.num_environments))
        self._freezes = gc.get_freeze_count() == 0  # asked once: where a program froze its heap, counting it takes 50 ms

    def start(self) -> None:
        self._reset("environment")

    def _reset(self, stream: str) -> None:
        timestep = self._environment.reset(seeds.host_seed(self._seed, stream))
        self._observation = self._perception.first(self._check.begin(timestep).observation)

    def run(self, turns: int) -> None:
        observation, state = self._observation, self._state
        with _frozen_heap() if self._freezes else contextlib.nullcontext(), self._environment:
            for _ in range(turns):
                _, timestep, state = turn(self._actor, self._step, (), observation, state)
                observation = timestep.observation
            self._actor.settle_updates()
        self._observation, self._state = observation, state

    def _step(self, nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        own = copied(action)  # the environment may change it
        timestep = self._check.take(self._take_step(own), action)
        self._statistics.add(timestep)
        return nothing, timestep

    def _step_while_learning(self, action: Nest) -> TimeStep:
        """Takes a step; while the environments are at it, the agent learns what doesn't depend on where it leads."""
        self._environment.send(action)
        self._actor.learn_early()
        return self._environment.receive()

    def report(self) -> dict[str, float | None]:
        return self._statistics.collect()

    def state(self) -> Groups:
        self._actor.settle()
        statistics = {f"statistics/{name}": np.array(value) for name, value in attrs.asdict(self._statistics.settled()).items()}
        state = {name: np.asarray(leaf) for name, leaf in numbered("state", self._state).items()}
        previous = {name: np.array(leaf) for name, leaf in self._previous().items()}
        environment = {name: np.array(value) for name, value in self._environment.state().items()}
        return {"loop": {**statistics, **state, **previous}, "environment": environment}

    def ranges(self) -> Ranges:
        statistics = {f"statistics/{name}": span for name, span in attrs.asdict(EpisodeStatistics.ranges()).items()}
        state = numbered("state", self._learner.policy.state_ranges())
        added = self._perception.previous(self._perception.spec.observation)
        previous = numbered("previous", {name: map_space(range_of, space) for name, space in added.items()})
        return {"loop": {**statistics, **state, **previous}, "environment": self._environment.ranges()}

    def restore(self, groups: Groups) -> None:
        loop = groups["loop"]
        # The counters of the learner were restored with the agent; the model's state is the loop's.
        self._actor.reload()
        self._check.turns = int(self._learner.steps.numpy()) // self._learner.num_environments
        leaves = [tf.constant(loop[name]) for name in numbered("state", self._state)]
        self._state = tf.nest.pack_sequence_as(self._state, leaves)

        # [B] sums of the running episodes.
        names = [field.name for field in attrs.fields(EpisodeStatistics)]
        statistics = EpisodeStatistics(**{name: loop[f"statistics/{name}"] for name in names})

        # An environment that can't be restored starts new episodes.
        if groups.get("environment"):
            leaves = [loop[name] for name in self._previous()]
            previous = tf.nest.pack_sequence_as(self._perception.previous(self._observation), leaves)
            self._observation = self._perception.joined(self._restored(groups["environment"]), previous)
        else:
            statistics = self._start_again(statistics)
        self._statistics = WaitingStatistics(statistics)

    def _previous(self) -> dict[str, np.ndarray]:
        """Returns what the present observations have besides what the environment shows, leaves by name."""
        return numbered("previous", self._perception.previous(self._observation))

    def _restored(self, state: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the observations of the environment after restoring an untrusted state."""
        try:
            return self._environment.restore(state)
        except AgentlabError:
            raise
        except Exception as error:  # of whatever kind an environment's own code raises
            raise EnvironmentFault(
                f"The environment {self._environment.spec.name!r} can't be restored to where it was at the checkpoint: "
                f"{first_line(error)}. Was the checkpoint replaced?"
            ) from error

    def inexact(self) -> str:
        return self._environment.inexact()

    def is_whole(self, has_environment: bool) -> bool:
        return has_environment

    def _start_again(self, statistics: EpisodeStatistics) -> EpisodeStatistics:
        """Begins new episodes, other than those at the start; returns the statistics without the running ones."""
        steps = int(self._learner.steps.numpy())
        self._reset(f"environment, resumed at step {steps}")
        self._state = self._learner.policy.initial_state(self._learner.num_environments)
        self._learner.memory.cut(tf.range(self._learner.num_environments, dtype=tf.int64))
        self._learner.normalizer.begin()

        # [B] sums of the running episodes begin again.
        zeros = np.zeros_like(statistics.running_return)
        return attrs.evolve(statistics, running_return=zeros, running_length=zeros)

    def close(self) -> None:
        self._environment.close()


@contextlib.contextmanager
def _frozen_heap() -> Iterator[None]:
    """Spares the garbage collector TensorFlow's and Keras's hundreds of thousands of living objects, a third of a host step."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
