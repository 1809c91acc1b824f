"""Time limit, auto-reset and final observation for every DeviceEnvironment, and an adapter that runs one on the host."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.checks.device_returns import DeviceReturns
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.model import where_rows
from agentlab.spec import EnvironmentSpec, blank, map_space
from agentlab.system.ranges import COUNT, HOST_SEED, Range
from agentlab.tensors.execution import compiled
from agentlab.types import Nest, Tensor, TimeStep, numbered


@attrs.frozen(eq=False)
class Episodes:
    """B running episodes: the environment's `state`, and the steps `elapsed` `[B]` int64 since each one's start."""

    state: Nest
    elapsed: Tensor


def ranges(environment: DeviceEnvironment, episodes: Episodes) -> dict[str, Range]:
    """Returns the ranges of the numbers in `episodes`, by the names that `numbered("episodes", episodes)` gives them."""
    *names, elapsed = numbered("episodes", episodes)
    declared = environment.state_ranges()
    limited = {} if declared is None else dict(zip(names, tf.nest.flatten(declared), strict=True))
    return {**limited, elapsed: COUNT}


class Autoreset:
    """Runs a DeviceEnvironment through consecutive episodes, as pure functions of (episodes, action, index).

    Args:
        environment: what to run.
        num_environments: B.
        seed: the run's seed; initial states are drawn from the stream "environment.initial", transitions from
            "environment.transition".
    """

    def __init__(self, environment: DeviceEnvironment, num_environments: int, seed: int) -> None:
        self.environment = environment
        self.num_environments = num_environments
        self._initial_key = seeds.stream(seed, "environment.initial")
        self._transition_key = seeds.stream(seed, "environment.transition")
        self._returns = DeviceReturns(environment.spec, num_environments)

    def reset(self) -> tuple[Episodes, TimeStep]:
        """Returns B new episodes and their first time step."""
        state = self._returns.initial(self.environment.initial(seeds.at(self._initial_key, 0), self.num_environments))
        observation = self._returns.observation(self.environment.observe(state))
        rows = [self.num_environments]
        never = tf.zeros(rows, tf.bool)
        target = self._empty_target(rows)
        timestep = TimeStep(observation, tf.zeros(rows), never, never, observation, target, never)
        return Episodes(state, tf.zeros(rows, tf.int64)), timestep

    def step(self, episodes: Episodes, action: Nest, index: Tensor) -> tuple[Episodes, TimeStep]:
        """Takes one step in every row.

        Args:
            episodes: from `reset` or the previous `step`.
            action: `[B, *A]`.
            index: int64 scalar, the number of this step since `reset`, from 1; it seeds the step.
        """
        environment, returns = self.environment, self._returns
        result = environment.transition(episodes.state, action, seeds.at(self._transition_key, index))
        state, reward, terminated, target = returns.transition(result, like=episodes.state)

        # [B] steps of each episode so far, and what the actions led to.
        elapsed = episodes.elapsed + 1
        truncated = self._truncated(state, elapsed)
        final_observation = returns.observation(environment.observe(state))

        # Rows whose episode ended begin the next one; the others keep their state.
        ended = terminated | truncated
        fresh = returns.state("restart", environment.restart(state, seeds.at(self._initial_key, index)), like=state)
        state = tf.nest.map_structure(lambda new, old: where_rows(ended, new, old), fresh, state)

        # The observation to act on is the new episode's first where one began.
        following = Episodes(state, tf.where(ended, tf.zeros_like(elapsed), elapsed))
        observation = environment.observe(state)
        acted = tf.constant(np.ones(self.num_environments, np.bool_))  # every row acts at every step
        return following, TimeStep(observation, reward, terminated, truncated, final_observation, target, acted)

    def _truncated(self, state: Nest, elapsed: Tensor) -> Tensor:
        """Returns which episodes `[B]` are cut off: by the time limit, or by the environment itself."""
        limit, cut = self.environment.spec.max_episode_steps, self.environment.truncated(state)
        late = tf.zeros_like(elapsed, tf.bool) if limit is None else elapsed >= limit
        return late if cut is None else late | self._returns.truncated(cut)

    def _empty_target(self, rows: list[int]) -> Nest:
        space = self.environment.spec.target
        return () if space is None else tf.nest.map_structure(tf.constant, blank(space, rows[0]))


class HostedEnvironment(Environment):
    """Adapts a DeviceEnvironment to the host: the same episodes, step by step, for the host gear and evaluation.

    Args:
        environment: what to run.
        num_environments: B.
        execution: of each step: "eager", "graph" or "xla".
    """

    watched = False  # the first step compiles

    def __init__(self, environment: DeviceEnvironment, num_environments: int = 1, execution: str = "graph") -> None:
        self.environment = environment
        self.num_environments = num_environments
        self._execution = execution
        self._seed: int | None = None
        self._episodes: Episodes = Episodes((), ())  # none before the first reset
        self._index = 0

    @property
    def spec(self) -> EnvironmentSpec:
        return self.environment.spec

    def reset(self, seed: int) -> TimeStep:
        if seed != self._seed:  # what was compiled stays good: evaluations begin from the same seed again and again
            self._runner = Autoreset(self.environment, self.num_environments, seed)
            self._step = compiled(self._runner.step, self._execution)
            self._seed = seed
        self._episodes, timestep = self._runner.reset()
        self._index = 0
        return _as_numpy(timestep)

    def inexact(self) -> str:
        return ""

    def state(self) -> dict[str, np.ndarray]:
        leaves = {name: leaf.numpy() for name, leaf in numbered("episodes", self._episodes).items()}
        return {**leaves, "seed": np.array(self._seed), "index": np.array(self._index)}

    def ranges(self) -> dict[str, Range]:
        return {**ranges(self.environment, self._episodes), "seed": HOST_SEED, "index": COUNT}

    def restore(self, state: dict[str, np.ndarray]) -> np.ndarray:
        self.reset(int(state["seed"]))
        # The reset gives the structure; the leaves come from the checkpoint.
        leaves = [tf.constant(state[name]) for name in numbered("episodes", self._episodes)]
        self._episodes, self._index = tf.nest.pack_sequence_as(self._episodes, leaves), int(state["index"])
        return tf.nest.map_structure(lambda leaf: leaf.numpy(), self.environment.observe(self._episodes.state))

    def render(self) -> np.ndarray | None:
        return self.environment.picture(self._episodes.state)

    def step(self, action: np.ndarray) -> TimeStep:
        self._index += 1
        tensors = map_space(lambda space, values: tf.constant(values, space.dtype), self.spec.action, action)
        self._episodes, timestep = self._step(self._episodes, tensors, tf.constant(self._index, tf.int64))
        return _as_numpy(timestep)


def _as_numpy(timestep: TimeStep) -> TimeStep:
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), timestep)
