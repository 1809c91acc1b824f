"""Replays episodes from their seeds and actions, since Gymnasium environments don't expose their state."""

from __future__ import annotations

import hashlib

import numpy as np

from agentlab import errors
from agentlab.checks.values import ranges_of
from agentlab.spec import SpaceNest, leaves_of, map_space, pairs_of
from agentlab.system import free_memory
from agentlab.system.ranges import COUNT, HOST_SEED, Range
from agentlab.types import Nest

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
    """The number of each row's episode, and the actions taken in it.

    It is of bounded size: of an episode longer than `longest` steps the first are forgotten, and until it ends there is no
    state from which the episodes could be played again.

    Args:
        rows: B.
        action: the space of one row's actions.

    Attributes:
        longest: steps of an episode that can be played again.
    """

    def __init__(self, rows: int, action: SpaceNest) -> None:
        self._rows, self._space = rows, action
        types = {path: np.dtype((leaf.dtype, leaf.shape)) for path, leaf in leaves_of(action).items()}
        self._paths = list(types) if isinstance(action, dict) else []  # of one array per step, an action is one of its records
        self._dtype = np.dtype(list(types.items())) if self._paths else types[""]
        self.longest = max(1, min(LOG_STEPS, LOG_BYTES // max(1, rows * self._dtype.itemsize)))
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Starts again, each row in its episode 0."""
        self._seed = seed
        self._actions = np.empty((FIRST_ROOM, self._rows), self._dtype)
        self._forgotten = 0  # steps before those in `_actions`
        self._count = 0  # steps in `_actions`
        self._starts = np.zeros(self._rows, np.int64)  # steps taken when the running episodes began
        self._episodes = np.zeros(self._rows, np.int64)

    def add(self, action: Nest, begun: np.ndarray | None) -> None:
        """Copies a step's actions `[B, *A]`; `begun` `[B]` bool are the rows that it led to a new episode, None if none."""
        if self._count == len(self._actions):
            self._make_room()

        # The next record; one field for each array of the actions.
        if self._paths:
            for path, (_, array) in zip(self._paths, pairs_of(self._space, action), strict=True):
                self._actions[path][self._count] = array
        else:
            self._actions[self._count] = action
        self._count += 1

        # From here on, only what these rows do in their new episodes is needed to play them again.
        if begun is not None:
            self._starts[begun] = self._forgotten + self._count
            self._episodes[begun] += 1

    def _make_room(self) -> None:
        """Forgets the steps that are not needed any more, and doubles the room if more than half of them are."""
        taken = self._forgotten + self._count
        oldest = max(int(self._starts.min()), taken - self.longest)
        needed = self._actions[oldest - self._forgotten : self._count]
        room = len(self._actions) if 2 * len(needed) <= len(self._actions) else 2 * len(needed)
        actions = np.empty((room, self._rows), self._dtype)
        actions[: len(needed)] = needed
        self._actions, self._forgotten, self._count = actions, oldest, len(needed)

    @property
    def is_whole(self) -> bool:
        """Whether every running episode can be played again."""
        return self._forgotten + self._count - int(self._starts.min()) <= self.longest

    def state(self) -> dict[str, np.ndarray]:
        """Returns seed, episodes `[B]`, lengths so far `[B]`, and the actions, row after row, `[sum of lengths, *A]`.

        It is to be whole. Entries of actions that are mappings are named by their paths, "actions/camera/left".
        """
        # What each row did in its present episode, [lengths[row], *A].
        begins = self._starts - self._forgotten
        taken = [self._actions[begin : self._count, row] for row, begin in enumerate(begins.tolist())]
        lengths = self._count - begins
        return {
            "seed": np.array(self._seed),
            "episodes": self._episodes.copy(),
            "lengths": lengths,
            **self._named(np.concatenate(taken)),
        }

    def _named(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        if not self._paths:
            return {"actions": actions}
        return {name: np.ascontiguousarray(actions[path]) for path, name in zip(self._paths, self._names(), strict=True)}

    def _names(self) -> list[str]:
        return [f"actions/{path}" for path in self._paths]

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of those numbers, by the same names."""
        counts = {"episodes": COUNT, "lengths": Range(0, self.longest)}
        return {"seed": HOST_SEED, **counts, **ranges_of(self._space, "actions")}

    def restore(self, state: dict[str, np.ndarray]) -> list[tuple[int, Nest]]:
        """Continues from where `state` was taken; returns what each row has to replay: its episode and the actions `[n, *A]`.

        Raises:
            EnvironmentFault: it is not such a state.
        """
        # The log comes from a file, so its sizes are checked before memory is allocated.
        seed, episodes, lengths = (_array(state, name) for name in ("seed", "episodes", "lengths"))
        actions = self._recorded(state)
        if actions is None or not self._are_sound(seed, episodes, lengths, actions):
            raise errors.EnvironmentFault(f"The checkpoint holds no log of the episodes of {self._rows} environments.")
        longest = int(lengths.max())
        free_memory.check_free(longest * self._rows * self._dtype.itemsize, "The log of the episodes", "run")

        # [lengths[row]] records by row, all ending at the same step as when they were taken.
        self.begin(int(seed))
        by_row = [taken.copy() for taken in np.split(actions, np.cumsum(lengths)[:-1])]
        self._actions = np.zeros((max(FIRST_ROOM, longest), self._rows), self._dtype)
        for row, taken in enumerate(by_row):
            self._actions[longest - len(taken) : longest, row] = taken
        self._count, self._starts, self._episodes = longest, longest - lengths, episodes.copy()
        return list(zip(episodes.tolist(), map(self._nest, by_row), strict=True))

    def _nest(self, actions: np.ndarray) -> Nest:
        """Returns recorded actions `[n]` as the space has them, `[n, *A]`."""
        paths = iter(self._paths)  # in the order of the space's entries
        return map_space(lambda _: np.ascontiguousarray(actions[next(paths)]), self._space) if self._paths else actions

    def _recorded(self, state: dict[str, np.ndarray]) -> np.ndarray | None:
        """Returns the actions in a state as records `[sum of lengths]`; None if they are none of the space's."""
        if not self._paths:
            actions = _array(state, "actions")
            return actions if _are_like(actions, self._dtype) else None

        # One record from an array for each path, all of the same length.
        entries = {path: _array(state, name) for path, name in zip(self._paths, self._names(), strict=True)}
        fit = all(_are_like(array, self._dtype[path]) for path, array in entries.items())
        if not fit or len({len(array) for array in entries.values()}) != 1:
            return None
        actions = np.empty(len(entries[self._paths[0]]), self._dtype)
        for path, array in entries.items():
            actions[path] = array
        return actions

    def _are_sound(self, seed: np.ndarray, episodes: np.ndarray, lengths: np.ndarray, actions: np.ndarray) -> bool:
        """Returns whether arrays have the shapes, dtypes and ranges of a log; the lengths are added up as Python's numbers."""
        whole = all(array.dtype == np.int64 for array in (seed, episodes, lengths))
        if not whole or seed.shape or episodes.shape != (self._rows,) or lengths.shape != (self._rows,):
            return False
        positive = int(episodes.min()) >= 0 and int(lengths.min()) >= 0 and int(seed) >= 0
        if int(lengths.max()) > self.longest:
            return False
        return positive and sum(lengths.tolist()) == len(actions)


def _are_like(array: np.ndarray, dtype: np.dtype) -> bool:
    """Returns whether an array holds values of a dtype and its shape, one after the other."""
    return array.ndim > 0 and array.shape[1:] == dtype.shape and array.dtype == dtype.base


def _array(state: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in state:
        raise errors.EnvironmentFault(f"The checkpoint holds no {name} of the environment's episodes.")
    return state[name]
