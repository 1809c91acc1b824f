"""Checks in a compiled loop: the first wrong number is noted, and reported when the loop ends."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab.checks.values import REWARD, complaint, entry_name
from agentlab.spec import EnvironmentSpec, Space, leaves_of, pairs_of
from agentlab.system.ranges import Range
from agentlab.types import Nest, Tensor, TimeStep


@attrs.frozen(eq=False)
class FirstFault:
    """The first number of a loop that is not finite or out of range, as scalars.

    Attributes:
        turn: int64, in which it was, counted from 1; 0 while there is none.
        leaf: int64, which array it is in, by its place in `LoopChecks.spaces`.
        place: int64, its place in that array, flattened.
        value: float64, what it is.
    """

    turn: Tensor
    leaf: Tensor
    place: Tensor
    value: Tensor

    @classmethod
    def none(cls) -> FirstFault:
        """Returns a placeholder for no fault, as NumPy numbers."""
        return cls(np.int64(0), np.int64(0), np.int64(0), np.float64(0))

    @classmethod
    def ranges(cls) -> FirstFault:
        """Returns the ranges of each field in a checkpoint, which is of no state with a fault."""
        return cls(*(Range(0, 0) for _ in attrs.fields(cls)))


class LoopChecks:
    """Checks every turn's actions, rewards and observations; traceable.

    Args:
        spec: of the environment.

    Attributes:
        spaces: of the arrays that are checked, by name and path, see `agentlab.spec.leaves_of`.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._nests = {
            "action": spec.action,
            "observation": spec.observation,
            "final_observation": spec.observation,
            "reward": REWARD,
        }

        # Only what can be wrong costs operations in the loop.
        leaves = [((name, path), leaf) for name, nest in self._nests.items() for path, leaf in leaves_of(nest).items()]
        self.spaces = {key: leaf for key, leaf in leaves if _can_be_wrong(leaf)}

    def after(self, fault: FirstFault, turn: Tensor, action: Nest, timestep: TimeStep) -> FirstFault:
        """Returns the fault after a turn (int64, from 1): the one there was, or else the first of this turn, if any.

        Without a branch: XLA copies every variable that is in reach of one, at every turn.
        """
        arrays = self._arrays({"action": action, **{name: getattr(timestep, name) for name in self._nests if name != "action"}})

        # Each array in turn; the first wrong number of the run stays, so that the report names its cause.
        for index, (key, space) in enumerate(self.spaces.items()):
            right = tf.reshape(_is_right(arrays[key], space), [-1])
            size = tf.size(right)
            place = tf.reduce_min(tf.where(right, size, tf.range(size)))  # of the first that isn't
            value = tf.cast(tf.gather(tf.reshape(arrays[key], [-1]), tf.minimum(place, size - 1)), tf.float64)
            is_first = (place < size) & tf.equal(fault.turn, 0)
            here = FirstFault(turn, tf.constant(index, tf.int64), tf.cast(place, tf.int64), value)
            fault = tf.nest.map_structure(lambda new, old: tf.where(is_first, new, old), here, fault)  # noqa: B023
        return fault

    def _arrays(self, values: dict[str, Nest]) -> dict[tuple[str, str], Tensor]:
        """Returns the arrays of a turn by name and path."""
        arrays: dict[tuple[str, str], Tensor] = {}
        for name, nest in self._nests.items():
            paths, pairs = leaves_of(nest), pairs_of(nest, values[name])
            arrays |= {(name, path): array for path, (_, array) in zip(paths, pairs, strict=True)}
        return arrays

    def describe(self, fault: FirstFault, rows: int) -> tuple[str, str]:
        """Returns the name of what a fault is in ("action", ...), and the clause that says what is wrong; of B `rows`."""
        (name, path), space = list(self.spaces.items())[int(fault.leaf)]
        row, *element = (int(index) for index in np.unravel_index(int(fault.place), (rows, *space.shape)))
        value = float(fault.value) if np.dtype(space.dtype).kind == "f" else int(fault.value)
        return name, complaint(row, entry_name(name, path), element, value, space)


def _can_be_wrong(space: Space) -> bool:
    return space.limits is not None or np.dtype(space.dtype).kind == "f"


def _is_right(leaf: Tensor, space: Space) -> Tensor:
    """Returns which numbers of a leaf `[B, *shape]` are valid, bool of its shape."""
    if space.limits is None:
        return tf.math.is_finite(leaf)
    low, high = (tf.cast(limit, leaf.dtype) for limit in space.limits)
    return (leaf >= low) & (leaf <= high)
