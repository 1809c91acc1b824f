"""Environments of the envpool package: many in one vector, stepped by threads of its own, compiled from C++."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from agentlab import errors

# Set by the environment's own settings, or not a config's to choose: a path, and rows that arrive in another order.
RESERVED = ("num_envs", "seed", "env_seed", "batch_size", "base_path", "max_num_players", "gym_reset_return_info")
MOST_THREADS = 1_024
UNLIMITED = 2**31 - 1  # steps of an episode, by which envpool means that there is no limit


class Pool(VectorEnv):
    """An envpool with the interface of Gymnasium's vector environments; each reset with a seed makes a new one.

    Args:
        id: envpool's, mostly Gymnasium's too.
        count: B.
        arguments: of envpool, such as `num_threads`.

    Raises:
        UsageError: there is no such environment or argument.
        DependencyNotInstalled: envpool isn't installed.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, id: str, count: int, arguments: dict[str, Any]) -> None:
        if importlib.util.find_spec("envpool") is None:
            raise gymnasium.error.DependencyNotInstalled("envpool is not installed")
        import envpool

        if id not in (known := envpool.list_all_envs()):
            raise errors.UsageError(f"{errors.unknown('environment of envpool', id, known)} Or use vectorization 'sync'.")
        self._id, self._arguments, self.num_envs = id, arguments, count
        self._make_pool = envpool.make_gymnasium

        # A pool shows its spaces once it is made, so one is made at once.
        config = envpool.make_spec(id).config
        _check(arguments, config._fields)
        self._pool = self._made(0)
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)

        # No limit is a number to envpool.
        limit = arguments.get("max_episode_steps", config.max_episode_steps)
        self.spec = EnvSpec(id, max_episode_steps=limit if limit < UNLIMITED else None)

    def _made(self, seed: int) -> Any:
        with warnings.catch_warnings():  # about the bounds of its spaces, which nobody can change
            warnings.filterwarnings("ignore", ".*precision lowered by casting")
            pool = self._make_pool(self._id, num_envs=self.num_envs, seed=seed, **self._arguments)
            self.single_observation_space, self.single_action_space = pool.observation_space, pool.action_space
            return pool

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins new episodes in all rows; envpool takes a seed only when it is made."""
        if seed is not None:
            self._pool.close()
            self._pool = self._made(seed)
        return self._pool.reset()

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Takes a step in all rows; the step after an end begins the next episode."""
        return self._pool.step(actions)

    def close_extras(self, **_: Any) -> None:
        """Ends the threads."""
        self._pool.close()


def _check(arguments: dict[str, Any], names: Iterable[str]) -> None:
    """Raises UsageError for arguments that envpool doesn't have or users may not set, and for numbers out of range."""
    # Users may set what isn't the environment's own.
    known = [name for name in names if name not in RESERVED]
    for name in arguments:
        if name not in known:
            raise errors.UsageError(errors.unknown("argument", name, known, "Arguments of envpool"))
    for name, least, most in (("num_threads", 0, MOST_THREADS), ("max_episode_steps", 1, UNLIMITED)):
        value = arguments.get(name, least)
        if type(value) is not int or not least <= value <= most:
            raise errors.UsageError(f"Argument {name!r} is {errors.quoted(value)}; expected {least} up to {most:,}.")
