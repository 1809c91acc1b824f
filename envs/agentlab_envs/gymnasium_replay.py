"""Gymnasium environments keep their state to themselves; from its seed and its actions, an episode can be played again."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from agentlab import errors, room
from agentlab.checks import range_of
from agentlab.ranges import COUNT, HOST_SEED, Range
from agentlab.spec import Array, Discrete

LOG_STEPS = 2**15  # of an episode that can be played again; the longest of Atari have 27,000
LOG_BYTES = 2**26  # of actions at most, where rows and actions are so large that those steps would take more
FIRST_ROOM = 1_024  # steps that a log has room for at first


def episode_seed(seed: int, episode: int) -> int:
    """Returns the seed of a row's episode, counted from 0: `seed` itself for the first, 31 bits of a hash for those after."""
    if episode == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{episode}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


class EpisodeLog:
    """Which episode each row is in, and the actions taken in it; those of episodes that have ended are forgotten.

    It is of bounded size: of an episode longer than `longest` steps the first are forgotten, and until it ends there is no
    state from which the episodes could be played again.

    Args:
        rows: B.
        action: the space of one row's actions.

    Attributes:
        longest: steps of an episode that can be played again.
    """

    def __init__(self, rows: int, action: Array | Discrete) -> None:
        self._rows = rows
        self._action_range = range_of(action)
        self._shape, self._dtype = (rows, *action.shape), np.dtype(action.dtype)
        step_bytes = math.prod(self._shape) * self._dtype.itemsize
        self.longest = max(1, min(LOG_STEPS, LOG_BYTES // max(1, step_bytes)))
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Starts anew, each row in its episode 0."""
        self._seed = seed
        self._actions = np.empty((FIRST_ROOM, *self._shape), self._dtype)
        self._forgotten = 0  # steps before those in `_actions`
        self._count = 0  # steps in `_actions`
        self._starts = np.zeros(self._rows, np.int64)  # steps taken when the running episodes began
        self._episodes = np.zeros(self._rows, np.int64)

    def add(self, action: np.ndarray, begun: np.ndarray | None) -> None:
        """Copies a step's actions `[B, *A]`; `begun` `[B]` bool are the rows that it led to a new episode, None if none."""
        if self._count == len(self._actions):
            self._make_room()
        self._actions[self._count] = action
        self._count += 1
        if begun is not None:
            self._starts[begun] = self._forgotten + self._count
            self._episodes[begun] += 1

    def _make_room(self) -> None:
        """Forgets the steps that are not needed any more, and doubles the room if more than half of them are."""
        taken = self._forgotten + self._count
        oldest = max(int(self._starts.min()), taken - self.longest)
        needed = self._actions[oldest - self._forgotten : self._count]
        room = len(self._actions) if 2 * len(needed) <= len(self._actions) else 2 * len(needed)
        actions = np.empty((room, *self._shape), self._dtype)
        actions[: len(needed)] = needed
        self._actions, self._forgotten, self._count = actions, oldest, len(needed)

    @property
    def is_whole(self) -> bool:
        """Whether every running episode can be played again."""
        return self._forgotten + self._count - int(self._starts.min()) <= self.longest

    def state(self) -> dict[str, np.ndarray]:
        """Returns seed, episodes `[B]`, lengths so far `[B]`, and the actions, row after row, `[sum of lengths, *A]`.

        It is to be whole.
        """
        begins = self._starts - self._forgotten
        taken = [self._actions[begin : self._count, row] for row, begin in enumerate(begins.tolist())]
        lengths = self._count - begins
        return {
            "seed": np.array(self._seed),
            "episodes": self._episodes.copy(),
            "lengths": lengths,
            "actions": np.concatenate(taken),
        }

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be, by the same names."""
        return {
            "seed": HOST_SEED,
            "episodes": COUNT,
            "lengths": Range(0, self.longest),
            "actions": self._action_range,
        }

    def restore(self, state: dict[str, np.ndarray]) -> list[tuple[int, np.ndarray]]:
        """Goes on from where `state` was taken; returns what each row is to play again: its episode and the actions `[n, *A]`.

        Raises:
            EnvironmentFault: it is not such a state.
        """
        seed, episodes, lengths, actions = (_array(state, name) for name in ("seed", "episodes", "lengths", "actions"))
        if not self._are_sound(seed, episodes, lengths, actions):
            raise errors.EnvironmentFault(f"The checkpoint holds no log of the episodes of {self._rows} environments.")
        longest = int(lengths.max())
        room.check_free(longest * math.prod(self._shape) * actions.dtype.itemsize, "The log of the episodes", "run")
        self.begin(int(seed))
        by_row = [taken.copy() for taken in np.split(actions, np.cumsum(lengths)[:-1])]
        self._actions = np.zeros((max(FIRST_ROOM, longest), *self._shape), self._dtype)
        for row, taken in enumerate(by_row):
            self._actions[longest - len(taken) : longest, row] = taken
        self._count, self._starts, self._episodes = longest, longest - lengths, episodes.copy()
        return list(zip(episodes.tolist(), by_row, strict=True))

    def _are_sound(self, seed: np.ndarray, episodes: np.ndarray, lengths: np.ndarray, actions: np.ndarray) -> bool:
        """Returns whether arrays have the shapes, dtypes and ranges of a log; the lengths are added up as Python's numbers."""
        whole = all(array.dtype == np.int64 for array in (seed, episodes, lengths))
        if not whole or seed.shape or episodes.shape != (self._rows,) or lengths.shape != (self._rows,):
            return False
        if actions.ndim == 0 or actions.shape[1:] != self._shape[1:] or actions.dtype != self._dtype:
            return False
        positive = int(episodes.min()) >= 0 and int(lengths.min()) >= 0 and int(seed) >= 0
        if int(lengths.max()) > self.longest:
            return False
        return positive and sum(lengths.tolist()) == len(actions)


def _array(state: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in state:
        raise errors.EnvironmentFault(f"The checkpoint holds no {name} of the environment's episodes.")
    return state[name]
