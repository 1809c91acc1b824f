"""RunningEpisodes: what an agent that only acts carries from one call of `act` to the next."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.loop.policy import Policy
from agentlab.spec import copied
from agentlab.types import Nest, first_leaf

PLAIN = {np.bool_: bool, np.float32: float}  # Python's type of one value for all rows


class RunningEpisodes:
    """The policy's state, and the last actions, of the episodes that a host program acts in side by side.

    Args:
        policy: acts.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._state: Nest = ()
        self._action: Nest = None  # before the first call
        self._num_rows = 0

    @staticmethod
    def of(policy: Policy) -> RunningEpisodes | None:
        """Returns what a policy carries, before the first step; None if it carries nothing."""
        carries = policy.perception.adds or bool(tf.nest.flatten(policy.initial_state(1)))
        return RunningEpisodes(policy) if carries else None

    def next(self, observation: Nest, begun: Any, reward: Any) -> tuple[Nest, Nest]:
        """Returns what the network sees of the next observations `[B, *O]`, and the state before them.

        Args:
            observation: of the environment.
            begun: where an episode begins with it, bool, `[B]` or one for all.
            reward: of the last actions, float, `[B]` or one for all.

        Raises:
            UsageError: `begun` or `reward` is something else, or B has changed within episodes.
        """
        rows = len(first_leaf(observation))
        begins, rewards = _rows(begun, np.bool_, rows, "begun"), _rows(reward, np.float32, rows, "reward")
        if self._action is None or (rows != self._num_rows and begins.all()):
            self._num_rows = rows
            self._state = self._policy.initial_state(rows)
            return self._policy.perception.first(observation), self._state
        if rows != self._num_rows:
            raise errors.UsageError(
                f"The agent remembers {self._num_rows} running episodes, and got observations of {rows}. Say begun=True "
                "where new episodes begin."
            )
        if begun is not False:  # which it is at most calls; looking for it in an array takes a twentieth of one
            self._state = self._policy.restart_on_host(self._state, begins)
        return self._policy.perception.next(observation, self._action, rewards, begins), self._state

    def remember(self, action: Nest, state: Nest) -> None:
        """Takes in the actions `[B, *A]`, choices counted from 0, and the state after them."""
        # The caller may change its array before the next observation is seen, with its action.
        self._action = copied(action) if self._policy.perception.adds else ()
        self._state = state


@functools.lru_cache(maxsize=16)
def _same_rows(value: float, dtype: type, rows: int) -> np.ndarray:
    """Returns the same value for each row, `[B]`, which nobody may write to."""
    array: np.ndarray = np.full(rows, value, dtype)
    array.setflags(write=False)
    return array


def _rows(value: Any, dtype: type, rows: int, name: str) -> np.ndarray:
    """Returns a value for each row, `[B]`; raises UsageError if it is neither one for all nor one for each."""
    # One plain value for all is the usual case, and NumPy's checks of it take a fifth of a call of `act`.
    if type(value) is PLAIN[dtype] and math.isfinite(value):
        return _same_rows(value, dtype, rows)
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray("")
    fits = array.shape in ((), (rows,)) and np.can_cast(array.dtype, dtype, "same_kind") and bool(np.isfinite(array).all())
    if not fits:
        raise errors.UsageError(
            f"'act' got {name}={str(value)[:60]!r}; expected a {'bool' if dtype is np.bool_ else 'finite number'}, or an array "
            f"of {rows}, one for each observation."
        )
    return np.broadcast_to(array.astype(dtype), (rows,))
