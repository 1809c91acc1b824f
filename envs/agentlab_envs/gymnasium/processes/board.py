"""Board: where a vector and its workers write what each row is to do in a step, and what came of it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from agentlab.types import Nest
from agentlab_envs.gymnasium import nests as nests
from agentlab_envs.gymnasium.forms import writer

# Reward, terminated, truncated, what an episode ended with if the next one has begun, and the observation.
Outcome = tuple[float, bool, bool, Nest | None, Nest]


class Board:
    """A record for each row. What is read here is overwritten in the next step.

    Args:
        observation: the space of one row's observations, of arrays and mappings of them.
        action: that of its actions.
        rows: B.
        memory: of `num_bytes` bytes, which processes may share; None for memory of its own.

    Attributes:
        observations: `[B, *O]`.
        finals: `[B, *O]`, what an episode ended with, of the rows that have begun another one in this step.
        reward: `[B]` float64.
        terminated: `[B]` bool.
        truncated: `[B]` bool.
        has_begun: `[B]` bool, the rows that have begun another episode.
    """

    def __init__(self, observation: gymnasium.Space, action: gymnasium.Space, rows: int, memory: Any = None) -> None:
        dtype = _record(observation, action)
        memory = bytearray(rows * dtype.itemsize) if memory is None else memory
        records = np.frombuffer(memory, dtype, rows)
        self.observations = _columns(observation, records["observation"])
        self.finals = _columns(observation, records["final"])
        self.reward, self.terminated, self.truncated, self.has_begun = (
            records[name] for name in ("reward", "terminated", "truncated", "has_begun")
        )
        self._actions = _columns(action, records["action"])

        # Each writes one row.
        self._put_observation, self._put_final = writer(self.observations), writer(self.finals)
        self.put_action = writer(self._actions)

    @staticmethod
    def num_bytes(observation: gymnasium.Space, action: gymnasium.Space, rows: int) -> int:
        """Returns how many bytes the records take."""
        return rows * _record(observation, action).itemsize

    def action(self, row: int) -> Nest:
        """Returns a copy of what a row is to do."""
        return _row(self._actions, row)

    def put(self, row: int, outcome: Outcome) -> None:
        """Writes what came of a row's step."""
        self.reward[row], self.terminated[row], self.truncated[row], final, observation = outcome
        self._put_observation(row, observation)
        self.has_begun[row] = final is not None
        if final is not None:
            self._put_final(row, final)

    def final(self, row: int) -> Nest:
        """Returns a copy of what a row's episode ended with."""
        return _row(self.finals, row)


def _record(observation: gymnasium.Space, action: gymnasium.Space) -> np.dtype:
    """Returns the dtype of a row's record."""
    observed = _dtype(observation)
    ends: list[Any] = [(name, np.bool_) for name in ("terminated", "truncated", "has_begun")]
    fields = [("reward", np.float64), *ends, ("action", _dtype(action)), ("observation", observed), ("final", observed)]
    return np.dtype(fields, align=True)


def _dtype(space: gymnasium.Space) -> np.dtype:
    """Returns the dtype of one value of a space; parts are fields by their number, since their names may be empty."""
    parts = nests.parts_of(space)
    if parts is None:
        return np.dtype((space.dtype, space.shape))
    return np.dtype([(f"part {index}", _dtype(part)) for index, part in enumerate(parts.values())], align=True)


def _columns(space: gymnasium.Space, array: np.ndarray) -> Nest:
    """Returns the arrays of all rows in an array of records, as a mapping of them where the space is one."""
    parts = nests.parts_of(space)
    if parts is None:
        return array
    return {name: _columns(part, array[f"part {index}"]) for index, (name, part) in enumerate(parts.items())}


def _row(columns: Nest, row: int) -> Nest:
    if isinstance(columns, dict):
        return {name: _row(array, row) for name, array in columns.items()}
    return columns[row].copy()
