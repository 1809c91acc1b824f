"""Gymnasium environments side by side in this process, one stepped after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import MultiBinary
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agentlab import errors
from agentlab.checks.values import as_end, as_reward
from agentlab.foreign import guard
from agentlab.spec.environment_spec import MASK
from agentlab.system import tracebacks
from agentlab.types import Nest
from agentlab_envs.gymnasium import leaves as leaves
from agentlab_envs.gymnasium import masks as masks
from agentlab_envs.gymnasium import nests as nests
from agentlab_envs.gymnasium import texts as texts
from agentlab_envs.gymnasium.forms import Form, former, writer
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
    """One environment inside its vector. Seeds each episode, so that it can be replayed; names its row in faults; copies
    what may be overwritten; drops infos except for masks of actions.

    Its spaces are those of `nests.named`: mappings where the environment has a Tuple, without entries of observations that are
    text. It runs where the environment does, which may be a worker process, and raises only what crosses back from there.

    Args:
        env: to be one row.
        mask: of the allowed actions, see `masks.mask_space`.

    Attributes:
        row: its place in the vector.
        texts: the paths of the entries that are left out of its observations.
        replaying: an episode's number and actions, to be played again at the next reset; or None.
        standing: whether the episode had ended after those; the next step then tells so without a step. Or None.
    """

    row = 0
    replaying: tuple[int, Any] | None = None
    standing: bool | None = None

    def __init__(self, env: gymnasium.Env, mask: str = "none") -> None:
        super().__init__(env)
        self._inner = env.observation_space, env.action_space
        self._mask = masks.mask_space(env, mask)

        # The spaces outside: mappings of arrays, without texts, with the mask if there is one.
        self._form: Callable[[Any], Nest] | None = None
        self.texts = texts.paths_of(self._inner[0])
        space = texts.without(self._inner[0]) if self.texts else self._inner[0]
        if leaves.are_known(space):  # others are refused elsewhere
            self._form = self._former(space)
            named = nests.named(space)
            self.observation_space = named if self._mask is None else masks.with_mask(named, self._mask)
        if leaves.are_known(self._inner[1]):
            self.action_space = nests.named(self._inner[1])

        # What a reset needs: the seed of every episode follows from the run's and the episode's number.
        self._is_several = nests.kind_of(self._inner[1]) is not None
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
            observation, info = answer
            self._check_mask(info)

            # Playing again, up to where the state was taken.
            for action in () if replayed is None else replayed[1]:
                observation, _, _, _, info = self.env.step(self._spread(action) if self._is_several else action)
        except BaseException as error:
            raise self._fault(error, "reset") from error
        self._observation = self._checked(observation, info)
        return self._observation, {}

    def step(self, action: Nest) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self.standing is not None:
            ended, self.standing = self.standing, None
            return self._observation, 0.0, ended, False, {}
        try:
            observation, reward, terminated, truncated, info = self.env.step(
                self._spread(action) if self._is_several else action
            )
        except BaseException as error:
            raise self._fault(error, "step") from error

        # Gymnasium allows any number-like reward and truth value; the loop gets float and bool.
        ends = as_end(terminated, self.row, "terminated"), as_end(truncated, self.row, "truncated")
        return self._checked(observation, info), as_reward(reward, self.row), *ends, {}

    def _former(self, space: gymnasium.Space) -> Callable[[Any], Nest]:
        """Returns a function that converts the environment's observations to those of `space`."""
        form = former(space)
        return (lambda observed: form(texts.cut(self._inner[0], observed))) if self.texts else form

    def _spread(self, action: Nest) -> Any:
        return nests.spread(self._inner[1], action)

    def _checked(self, observation: object, info: object) -> Nest:
        """Returns a copy of an observation of the right shapes and kinds of numbers, with the mask if there are masks."""
        if self._form is None:
            return observation
        try:
            value = self._form(observation)
            return value if self._mask is None else masks.join(value, self._allowed(info, self._mask))
        except errors.EnvironmentFault as fault:
            raise errors.EnvironmentFault(f"row {self.row} {fault}") from fault.__cause__

    def _allowed(self, info: object, space: MultiBinary) -> np.ndarray:
        """Returns the mask in an info; all actions are allowed where there is none, as at an episode's end."""
        mask = masks.mask_of(info)
        return np.ones(space.shape, np.int8) if mask is None else Form(space, path=MASK).array(mask)

    def _check_mask(self, info: object) -> None:
        if self._mask is not None and masks.mask_of(info) is None:
            raise errors.EnvironmentFault(
                f"row {self.row}'s reset returned an info without {MASK!r}; set environment.action_mask to 'none' if "
                "there are no masks."
            )

    def _fault(self, error: BaseException, method: str) -> BaseException:
        if isinstance(error, gymnasium.error.DependencyNotInstalled):
            return gymnasium.error.DependencyNotInstalled(str(error))
        if isinstance(error, errors.EnvironmentFault) or guard.is_interrupt(error):
            return error
        if misshapen := _misshapen(error, method):
            return errors.EnvironmentFault(f"row {self.row}'s {method} {misshapen}")
        return errors.EnvironmentFault(f"row {self.row} raised {tracebacks.describe_error(error)}")


class Rows(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` of `Row`s, with a step that takes a quarter of the time.

    Gymnasium's looks up the kind of space at every step, and collects infos.

    Args:
        make: returns a new environment.
        count: of environments.
        mode: how they are reset.
        mask: of the allowed actions, see `masks.mask_space`.
    """

    def __init__(self, make: Callable[[], gymnasium.Env], count: int, mode: AutoresetMode, mask: str = "none") -> None:
        made: list[Row] = []

        def make_row() -> Row:
            made.append(Row(make(), mask))
            return made[-1]

        # What was made before one that fails holds processes and windows: close it.
        try:
            super().__init__([make_row] * count, copy=False, autoreset_mode=mode)
        except BaseException:
            for row in made:
                guard.close(str(row.unwrapped), row.close, guard.BRIEF_SECONDS)
            raise
        self.spec = self.envs[0].spec
        self.texts = made[0].texts
        self._next_step = mode is AutoresetMode.NEXT_STEP
        self._same_step = mode is AutoresetMode.SAME_STEP

    def step(self, actions: Nest) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns observations that the next call overwrites, rewards, terminated, truncated, and `final_obs` by row."""
        # Observations go straight into the vector's array; rewards and ends are [B].
        observations: Any = self._observations
        put = writer(observations)
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        finals: dict[int, Any] = {}

        # Row after row; where an episode ends decides what happens next, by autoreset mode.
        for row, env in enumerate(self.envs):
            if self._next_step and self._autoreset_envs[row]:
                put(row, env.reset()[0])
                continue
            observation, rewards[row], terminated[row], truncated[row], _ = env.step(actions[row])
            if self._same_step and (terminated[row] or truncated[row]):
                finals[row] = observation
                observation, _ = env.reset()
            put(row, observation)
        if self._next_step:
            self._autoreset_envs = terminated | truncated
        return observations, rewards, terminated, truncated, {"final_obs": finals} if finals else {}

    def close(self, **_: object) -> None:
        """Closes all environments, even if one fails to close.

        Raises:
            EnvironmentFault: one didn't.
        """
        if self.closed:
            return
        self.closed = True

        # Close all rows first, then say which failed.
        reasons = []
        for row, env in enumerate(self.envs):
            try:
                env.close()
            except BaseException as error:
                if guard.is_interrupt(error):
                    raise
                reasons.append(f"row {row} raised {tracebacks.describe_error(error)}")
        if reasons:
            raise errors.EnvironmentFault(f"{'; '.join(reasons)}.")


def _counted(answer: object) -> str:
    return f"{len(answer)} values" if isinstance(answer, (tuple, list)) else f"one value of type {type(answer).__name__}"


def _expected(method: str) -> str:
    count, values = RETURNS[method]
    return f"; expected {count}: {values}. {OLD_GYM}."


def _misshapen(error: BaseException, method: str) -> str:
    """Returns what is wrong if a method doesn't have the signature of Gymnasium's; empty if it does.

    It was Gymnasium's wrappers or ours that raised then, not the environment.
    """
    # The innermost frame: an error raised inside the environment is its own business.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    if where != __name__ and where.partition(".")[0] != "gymnasium":
        return ""

    # Python's wording is all there is to tell a wrong form from another TypeError.
    text = str(error)
    if "unexpected keyword argument" in text:
        return f"takes no {text.rpartition(' ')[2]}, as Gymnasium's does. {OLD_GYM}."
    count = re.search(r"got (\d+)", text)
    returned = f"{count[1]} values" if count else "too many values, or a single one"
    return f"returned {returned}{_expected(method)}" if "unpack" in text else ""
