"""Gymnasium environments side by side in this process, one stepped after the other."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agentlab import errors
from agentlab_envs.gymnasium.replay import episode_seed
from agentlab_envs.gymnasium.workers import end_with_parent


class Row(gymnasium.Wrapper):
    """One environment inside its vector: seeds each episode, so that it can be played again; names its row in faults; copies
    what may be overwritten; drops infos nobody reads.

    It runs where the environment does, which may be a worker process, and raises only what crosses back from there.

    Attributes:
        row: its place in the vector.
        replaying: an episode's number and actions, to be played again at the next reset; or None.
        standing: whether the episode had ended after those; the next step then tells so without a step. Or None.
    """

    row = 0
    replaying: tuple[int, np.ndarray] | None = None
    standing: bool | None = None

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        end_with_parent()
        self._shape, self._dtype = env.observation_space.shape, env.observation_space.dtype
        self._seed: int | None = None
        self._episode = 0
        self._observation: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._seed, self._episode = (self._seed, self._episode + 1) if seed is None else (seed, 0)
        replayed, self.replaying = self.replaying, None
        if replayed is not None:
            self._episode = replayed[0]
        try:
            observation, _ = self.env.reset(
                seed=None if self._seed is None else episode_seed(self._seed, self._episode), options=options
            )
            for action in () if replayed is None else replayed[1]:
                observation = self.env.step(action)[0]
        except Exception as error:
            raise self._fault(error) from error
        self._observation = self._checked(observation)
        return self._observation, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self.standing is not None:
            ended, self.standing = self.standing, None
            return self._observation, 0.0, ended, False, {}
        try:
            observation, reward, terminated, truncated, _ = self.env.step(action)
        except Exception as error:
            raise self._fault(error) from error
        return self._checked(observation), reward, terminated, truncated, {}

    def _checked(self, observation: Any) -> Any:
        if self._shape is None:  # a space of several parts, which the spec refuses
            return observation
        array = np.array(observation)
        if array.shape != self._shape or not fits(array, self._dtype):
            raise errors.EnvironmentFault(f"row {self.row} {mismatch(array, self._shape, self._dtype)}")
        return array

    def _fault(self, error: Exception) -> Exception:
        if isinstance(error, gymnasium.error.DependencyNotInstalled):
            return gymnasium.error.DependencyNotInstalled(str(error))
        return errors.EnvironmentFault(f"row {self.row} raised {type(error).__name__}: {error}")


class Rows(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` of `Row`s, with a step that takes a quarter of the time.

    Gymnasium's looks up the kind of space anew at every step, and collects infos; and its observations may be of several parts.

    Args:
        id: Gymnasium's.
        count: of environments.
        mode: how they are reset.
        arguments: for `gymnasium.make`.
    """

    def __init__(self, id: str, count: int, mode: AutoresetMode, arguments: dict[str, Any]) -> None:
        super().__init__([lambda: Row(gymnasium.make(id, **arguments))] * count, copy=False, autoreset_mode=mode)
        self.spec = self.envs[0].spec
        self._next_step = mode is AutoresetMode.NEXT_STEP
        self._same_step = mode is AutoresetMode.SAME_STEP

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns observations that the next call overwrites, rewards, terminated, truncated, and `final_obs` by row."""
        found: Any = self._observations
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        finals: dict[int, Any] = {}
        for row, env in enumerate(self.envs):
            if self._next_step and self._autoreset_envs[row]:
                found[row], _ = env.reset()
                continue
            found[row], rewards[row], terminated[row], truncated[row], _ = env.step(actions[row])
            if self._same_step and (terminated[row] or truncated[row]):
                finals[row] = found[row].copy()
                found[row], _ = env.reset()
        self._autoreset_envs = terminated | truncated
        return found, rewards, terminated, truncated, {"final_obs": finals} if finals else {}


def fits(array: np.ndarray, dtype: Any) -> bool:
    """Returns whether the values are of the same kind of number as `dtype`'s, which is what Gymnasium itself converts."""
    return array.dtype == dtype or np.can_cast(array.dtype, dtype, "same_kind")


def mismatch(array: np.ndarray, shape: Any, dtype: Any) -> str:
    """Returns what is wrong with an observation."""
    return f"returned an observation {array.dtype}{list(array.shape)}; its observation space says {dtype}{list(shape)}."
