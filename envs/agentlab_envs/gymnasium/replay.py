"""Gymnasium environments keep their state to themselves; from its seed and its actions, an episode can be played again."""

from __future__ import annotations

import hashlib

import numpy as np

from agentlab import errors

PRUNE_ROWS = 1_024  # vector steps kept beyond what running episodes need, before the log is shortened


def episode_seed(seed: int, episode: int) -> int:
    """Returns the seed of a row's episode, counted from 0: `seed` itself for the first, 31 bits of a hash for those after."""
    if episode == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{episode}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


class EpisodeLog:
    """Which episode each row is in, and the actions taken in it; those of episodes that have ended are forgotten.

    Args:
        rows: B.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Starts anew, each row in its episode 0."""
        self._seed = seed
        self._actions: list[np.ndarray] = []
        self._starts = np.zeros(self._rows, np.int64)  # of the running episodes, as indices into the actions
        self._episodes = np.zeros(self._rows, np.int64)
        self._limit = PRUNE_ROWS

    def add(self, action: np.ndarray, begun: np.ndarray | None) -> None:
        """Takes in a step's actions `[B, *A]`, and the rows (`[B]` bool) in which it began a new episode; None for no row."""
        self._actions.append(action)
        if begun is None:
            return
        self._starts[begun] = len(self._actions)
        self._episodes[begun] += 1
        if len(self._actions) > self._limit:
            oldest = int(self._starts.min())
            del self._actions[:oldest]
            self._starts -= oldest
            self._limit = 2 * len(self._actions) + PRUNE_ROWS

    def state(self) -> dict[str, np.ndarray]:
        """Returns seed, episodes `[B]`, lengths so far `[B]`, and the actions, row after row, `[sum of lengths, *A]`."""
        taken = [
            np.array(self._actions[start:])[:, row] for row, start in enumerate(self._starts) if start < len(self._actions)
        ]
        lengths = len(self._actions) - self._starts
        actions = np.concatenate(taken) if taken else np.zeros(0, np.int64)
        return {"seed": np.array(self._seed), "episodes": self._episodes.copy(), "lengths": lengths, "actions": actions}

    def restore(self, state: dict[str, np.ndarray]) -> list[tuple[int, np.ndarray]]:
        """Goes on from where `state` was taken; returns what each row is to play again: its episode and the actions `[n, *A]`.

        Raises:
            EnvironmentFault: it is not such a state.
        """
        episodes, lengths, actions = (_array(state, name) for name in ("episodes", "lengths", "actions"))
        whole = episodes.shape == lengths.shape == (self._rows,) and episodes.dtype == lengths.dtype == np.int64
        if not whole or lengths.min() < 0 or lengths.sum() != len(actions) or _array(state, "seed").dtype != np.int64:
            raise errors.EnvironmentFault(f"The checkpoint holds no log of the episodes of {self._rows} environments.")
        self.begin(int(state["seed"]))
        by_row = np.split(actions, np.cumsum(lengths)[:-1])
        longest = int(lengths.max())
        self._actions = [np.zeros((self._rows, *actions.shape[1:]), actions.dtype) for _ in range(longest)]
        for row, taken in enumerate(by_row):
            for index, action in enumerate(taken, longest - len(taken)):
                self._actions[index][row] = action
        self._starts, self._episodes = longest - lengths, episodes.copy()
        return list(zip(episodes.tolist(), by_row, strict=True))


def _array(state: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in state:
        raise errors.EnvironmentFault(f"The checkpoint holds no {name} of the environment's episodes.")
    return state[name]
