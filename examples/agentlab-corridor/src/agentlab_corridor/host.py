"""The corridor on the host: NumPy, with a state of its own, as an environment is that no graph can hold."""

from __future__ import annotations

import attrs
import numpy as np

from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec
from agentlab.types import TimeStep
from agentlab_corridor.device import Corridor


@attrs.define(slots=False, eq=False)
class HostCorridor(Environment):
    """The same corridor, stepped on the host; see `corridor`.

    Attributes:
        num_environments: B, corridors side by side.
        length: places between the two ends.
        slip: the probability that a step goes the other way, 0 to 1.
        max_episode_steps: an episode that is still running after so many steps is truncated.
    """

    num_environments: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    length: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    slip: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    max_episode_steps: int = attrs.field(default=50, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        return Corridor(self.length, self.slip, self.max_episode_steps).spec

    def reset(self, seed: int) -> TimeStep:
        self._seed, self._turns = seed, 0
        self._place = self._starts()
        self._elapsed = np.zeros(self.num_environments, np.int64)
        return TimeStep.reset(self._observed())

    def step(self, action: np.ndarray) -> TimeStep:
        self._turns += 1
        slipped = self._generator("slip").random(self.num_environments) < self.slip
        self._place = self._place + np.where((action == 1) != slipped, 1, -1)
        self._elapsed += 1
        arrived = self._place == self.length + 1
        terminated = arrived | (self._place == 0)
        truncated = self._elapsed >= self.max_episode_steps
        final_observation = self._observed()
        ended = terminated | truncated
        self._place = np.where(ended, self._starts(), self._place)
        self._elapsed[ended] = 0
        acted = np.ones(self.num_environments, np.bool_)
        reward = arrived.astype(np.float32)
        return TimeStep(self._observed(), reward, terminated, truncated, final_observation, acted=acted)

    def inexact(self) -> str:
        return ""

    def state(self) -> dict[str, np.ndarray]:
        numbers = {"seed": np.asarray(self._seed), "turns": np.asarray(self._turns)}
        return {"place": self._place.copy(), "elapsed": self._elapsed.copy(), **numbers}

    def restore(self, state: dict[str, np.ndarray]) -> np.ndarray:
        self._seed, self._turns = int(state["seed"]), int(state["turns"])
        self._place, self._elapsed = np.array(state["place"]), np.array(state["elapsed"])
        return self._observed()

    def _starts(self) -> np.ndarray:
        return self._generator("start").integers(1, self.length + 1, self.num_environments)

    def _generator(self, purpose: str) -> np.random.Generator:
        """Returns a generator that seed, turn and purpose determine, so that there is no random state to keep."""
        return np.random.default_rng([self._seed, self._turns, *purpose.encode()])

    def _observed(self) -> np.ndarray:
        return np.eye(self.length + 2, dtype=np.float32)[self._place]
