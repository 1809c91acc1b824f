"""Gymnasium environments side by side in this process, one stepped after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agentlab import errors
from agentlab.checks.values import as_end, as_reward
from agentlab.loop import guard
from agentlab.system import tracebacks
from agentlab_envs.gymnasium.replay import episode_seed

RETURNS = {
    "reset": (2, "the observation and a dictionary of infos"),
    "step": (5, "observation, reward, terminated, truncated and a dictionary of infos"),
}
OLD_GYM = (
    "An environment of the old gym package runs by the id 'GymV21Environment-v0/ID', ID being gym's, through Shimmy: "
    "pip install 'agentlab[gym]'"
)


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
            answer: Any = self.env.reset(
                seed=None if self._seed is None else episode_seed(self._seed, self._episode), options=options
            )
            if not isinstance(answer, (tuple, list)) or len(answer) != RETURNS["reset"][0]:  # two numbers would unpack, too
                raise errors.EnvironmentFault(f"row {self.row}'s reset returned {_counted(answer)}{_expected('reset')}")
            observation = answer[0]
            for action in () if replayed is None else replayed[1]:
                observation = self.env.step(action)[0]
        except BaseException as error:
            raise self._fault(error, "reset") from error
        self._observation = self._checked(observation)
        return self._observation, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self.standing is not None:
            ended, self.standing = self.standing, None
            return self._observation, 0.0, ended, False, {}
        try:
            observation, reward, terminated, truncated, _ = self.env.step(action)
        except BaseException as error:
            raise self._fault(error, "step") from error
        ends = as_end(terminated, self.row, "terminated"), as_end(truncated, self.row, "truncated")
        return self._checked(observation), as_reward(reward, self.row), *ends, {}

    def _checked(self, observation: Any) -> Any:
        if self._shape is None:  # a space of several parts, which the spec refuses
            return observation
        try:
            array = np.array(observation)
        except (ValueError, TypeError) as error:  # lists of different lengths
            raise errors.EnvironmentFault(
                f"row {self.row} returned an observation that is no array: {errors.first_line(error)}."
            ) from error
        if array.shape != self._shape or not fits(array, self._dtype):
            raise errors.EnvironmentFault(f"row {self.row} {mismatch(array, self._shape, self._dtype)}")
        return array

    def _fault(self, error: BaseException, method: str) -> BaseException:
        if isinstance(error, gymnasium.error.DependencyNotInstalled):
            return gymnasium.error.DependencyNotInstalled(str(error))
        if isinstance(error, errors.EnvironmentFault) or guard.is_interrupt(error):
            return error
        if misshapen := _misshapen(error, method):
            return errors.EnvironmentFault(f"row {self.row}'s {method} {misshapen}")
        return errors.EnvironmentFault(f"row {self.row} raised {tracebacks.told(error)}")


class Rows(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` of `Row`s, with a step that takes a quarter of the time.

    Gymnasium's looks up the kind of space anew at every step, and collects infos; and its observations may be of several parts.

    Args:
        make: returns a new environment.
        count: of environments.
        mode: how they are reset.
    """

    def __init__(self, make: Callable[[], gymnasium.Env], count: int, mode: AutoresetMode) -> None:
        made: list[Row] = []

        def make_row() -> Row:
            made.append(Row(make()))
            return made[-1]

        try:
            super().__init__([make_row] * count, copy=False, autoreset_mode=mode)
        except BaseException:
            for row in made:
                guard.close(str(row.unwrapped), row.close, guard.BRIEF_SECONDS)
            raise
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

    def close(self, **_: Any) -> None:
        """Closes all environments, also when one doesn't close.

        Raises:
            EnvironmentFault: one didn't.
        """
        if self.closed:
            return
        self.closed = True
        reasons = []
        for row, env in enumerate(self.envs):
            try:
                env.close()
            except BaseException as error:
                if guard.is_interrupt(error):
                    raise
                reasons.append(f"row {row} raised {tracebacks.told(error)}")
        if reasons:
            raise errors.EnvironmentFault(f"{'; '.join(reasons)}.")


def _counted(answer: Any) -> str:
    return f"{len(answer)} values" if isinstance(answer, (tuple, list)) else f"one value of type {type(answer).__name__}"


def _expected(method: str) -> str:
    count, values = RETURNS[method]
    return f"; expected {count}: {values}. {OLD_GYM}."


def _misshapen(error: BaseException, method: str) -> str:
    """Returns what is wrong if a method has not the form that Gymnasium's have; empty if something else is.

    It was Gymnasium's wrappers or ours that raised then, not the environment.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    if where != __name__ and where.partition(".")[0] != "gymnasium":
        return ""
    text = str(error)
    if "unexpected keyword argument" in text:
        return f"takes no {text.rpartition(' ')[2]}, as Gymnasium's does. {OLD_GYM}."
    count = re.search(r"got (\d+)", text)
    returned = f"{count[1]} values" if count else "too many values, or a single one"
    return f"returned {returned}{_expected(method)}" if "unpack" in text else ""


def fits(array: np.ndarray, dtype: Any) -> bool:
    """Returns whether the values are of the same kind of number as `dtype`'s, which is what Gymnasium itself converts."""
    return array.dtype == dtype or np.can_cast(array.dtype, dtype, "same_kind")


def mismatch(array: np.ndarray, shape: Any, dtype: Any) -> str:
    """Returns what is wrong with an observation."""
    return f"returned an observation {array.dtype}{list(array.shape)}; its observation space says {dtype}{list(shape)}."
