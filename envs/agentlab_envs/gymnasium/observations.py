"""Converts a vector environment's observations to agentlab's, and actions to the environment's: checked and copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import gymnasium
import numpy as np
from gymnasium.spaces import Dict

from agentlab.checks.values import Numbers, entry_name
from agentlab.errors import EnvironmentFault
from agentlab.types import Nest
from agentlab_envs.gymnasium import leaves as leaves
from agentlab_envs.gymnasium import nests as nests
from agentlab_envs.gymnasium.forms import former


@attrs.define(eq=False)
class _Leaf:
    """One array of the observations of all rows."""

    dtype: Any
    numbers: Numbers
    show: leaves.Show | None

    @classmethod
    def of(cls, space: gymnasium.Space, path: str) -> _Leaf:
        kind, name = leaves.known(space), entry_name("observation", path)
        return cls(space.dtype, Numbers(kind.numbers(space), name), kind.show(space, name))

    def copied(self, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Returns a copy of the environment's numbers `[N, *shape]`, checked, as agents see them."""
        array = np.array(values, self.dtype)
        self.numbers.check(array, rows)
        return array if self.show is None else self.show(array, rows)


class Observations:
    """Converts a vector environment's observations to what agents see.

    Args:
        space: of one row.
        rows: B.

    Attributes:
        copied: returns a copy of `conformed` observations, checked, as agents see them; of all rows, or of those that a second
            argument names.
    """

    def __init__(self, space: gymnasium.Space, rows: int) -> None:
        self._space, self._named = space, nests.named(space)
        self._rows = rows
        self._forms: dict[int, Callable[[Any], Nest]] = {}  # by the number of rows
        self._leaves = {path: _Leaf.of(leaf, path) for path, leaf in nests.leaves_of(space).items()}
        single = self._leaves.get("")  # as of most environments, which are spared a walk through the parts at every step
        self.copied: Callable[..., Nest] = self._copied if single is None else single.copied

    def _copied(self, observed: Nest, rows: np.ndarray | None = None) -> Nest:
        return nests.gather(self._named, observed, lambda _, array, path: self._leaves[path].copied(array, rows), "observation")

    def conformed(self, observed: object, rows: np.ndarray | None = None) -> Nest:
        """Returns a vector's observations, of all rows or of some, as a mapping of arrays `[N, *shape]`, or one array.

        Raises:
            EnvironmentFault: they are not what the space says; the message is a clause.
        """
        count = self._rows if rows is None else len(rows)
        if count not in self._forms:
            self._forms[count] = former(self._space, (count,), np.asarray)
        try:
            return self._forms[count](observed)
        except EnvironmentFault as fault:
            raise EnvironmentFault(f"its vector class {fault}") from fault

    def of_rows(self, finals: Nest, rows: np.ndarray) -> Nest:
        """Returns a vector's `final_obs` of some rows, conformed.

        Raises:
            EnvironmentFault: they are not what the space says; the message is a clause.
        """
        values = [_of_row(self._space, finals, row) for row in rows.tolist()]
        return self.conformed(nests.stack(self._space, values), rows)


def _of_row(space: gymnasium.Space, finals: Nest, row: int) -> Any:
    """Returns an element of `final_obs`; Gymnasium's own vector classes make of mappings a mapping of arrays."""
    if isinstance(finals, dict) and row not in finals and isinstance(space, Dict):
        return {key: _of_row(part, finals[key], row) for key, part in space.spaces.items()}
    return finals[row]


class Actions:
    """Converts actions of the spec to those of a vector environment.

    Args:
        space: Gymnasium's, of one row.
        as_batch: as one batch of that space, not as one action after the other.

    Attributes:
        outward: returns actions `[N, *A]`, as the environment itself numbers them, in a copy that it may change.
    """

    def __init__(self, space: gymnasium.Space, as_batch: bool) -> None:
        self._space, self._named = space, nests.named(space)
        self._taken = {path: leaves.known(leaf).taken(leaf) for path, leaf in nests.leaves_of(space).items()}
        self._as_batch = as_batch
        self._dtype = space.dtype

        # Actions of one array, which most are, need no walk through a mapping.
        single = self._taken.get("")
        self.outward: Callable[[Nest], Any] = self._several
        if single is not None:
            self._to_environment = single.to_environment
            self.outward = self._single if single.shape == space.shape else self._reshaped

    def _single(self, action: np.ndarray) -> np.ndarray:
        return np.array(self._to_environment(action), self._dtype)

    def _reshaped(self, action: np.ndarray) -> np.ndarray:
        return self._single(action).reshape(len(action), *self._space.shape)  # type: ignore[misc]

    def _several(self, action: Nest) -> Any:
        arrays = nests.gather(self._named, action, self._leaf, "action")
        if self._as_batch:
            return nests.spread(self._space, arrays)
        return [_row(arrays, row) for row in range(len(next(iter(arrays.values()))))]

    def _leaf(self, space: gymnasium.Space, action: np.ndarray, path: str) -> np.ndarray:
        outward = np.array(self._taken[path].to_environment(action), space.dtype)
        return outward.reshape(len(action), *space.shape)  # type: ignore[misc]


def _row(arrays: Nest, row: int) -> Any:
    return {name: _row(array, row) for name, array in arrays.items()} if isinstance(arrays, dict) else arrays[row]
