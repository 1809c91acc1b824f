"""The checks of `agentlab.checks.values` inside a compiled loop: the first wrong number is noted, and reported when the loop ends."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.checks.ranges import Range
from agentlab.checks.values import REWARD, complaint, limits
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import TimeStep


@attrs.frozen(eq=False)
class FirstFault:
    """The first number of a loop that is not finite or out of range, as scalars.

    Attributes:
        turn: int64, in which it was, counted from 1; 0 while there is none.
        leaf: int64, which array it is in, by its place in `LoopChecks.spaces`.
        place: int64, its place in that array, flattened.
        value: float64, what it is.
    """

    turn: Any
    leaf: Any
    place: Any
    value: Any

    @classmethod
    def none(cls) -> FirstFault:
        """Returns what stands for no fault, as NumPy numbers."""
        return cls(np.int64(0), np.int64(0), np.int64(0), np.float64(0))

    @classmethod
    def ranges(cls) -> FirstFault:
        """Returns what the numbers of each field can be in a checkpoint, which is of no state with a fault."""
        return cls(*(Range(0, 0) for _ in attrs.fields(cls)))


class LoopChecks:
    """Checks every turn's actions, rewards and observations; traceable.

    Args:
        spec: of the environment.

    Attributes:
        spaces: of the arrays that are checked, by name.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        shown = spec.observation
        spaces = {"action": spec.action, "observation": shown, "final_observation": shown, "reward": REWARD}
        self.spaces = {name: space for name, space in spaces.items() if _can_be_wrong(space)}

    def after(self, fault: FirstFault, turn: Any, action: Any, timestep: TimeStep) -> FirstFault:
        """Returns the fault after a turn (int64, from 1): the one there was, or else the first of this turn, if any.

        Without a branch: XLA copies every variable that is in reach of one, at every turn.
        """
        for index, (name, space) in enumerate(self.spaces.items()):
            leaf = tf.reshape(action if name == "action" else getattr(timestep, name), [-1])
            size = tf.shape(leaf, out_type=tf.int32)[0]
            place = tf.reduce_min(tf.where(_is_right(leaf, space), size, tf.range(size)))  # of the first that isn't
            value = tf.cast(tf.gather(leaf, tf.minimum(place, size - 1)), tf.float64)
            is_first = (place < size) & tf.equal(fault.turn, 0)
            here = FirstFault(turn, tf.constant(index, tf.int64), tf.cast(place, tf.int64), value)
            fault = tf.nest.map_structure(lambda new, old: tf.where(is_first, new, old), here, fault)  # noqa: B023
        return fault

    def told(self, fault: FirstFault, rows: int) -> tuple[str, str]:
        """Returns the name of the array that a fault is in, and the clause that says what is wrong; of B `rows`."""
        name, space = list(self.spaces.items())[int(fault.leaf)]
        row, *element = (int(index) for index in np.unravel_index(int(fault.place), (rows, *space.shape)))
        value = float(fault.value) if np.dtype(space.dtype).kind == "f" else int(fault.value)
        return name, complaint(row, name, element, value, space)


def _can_be_wrong(space: Array | Discrete) -> bool:
    return limits(space) is not None or np.dtype(space.dtype).kind == "f"


def _is_right(leaf: Any, space: Array | Discrete) -> Any:
    """Returns which numbers of a leaf are right, bool of its shape."""
    bounds = limits(space)
    return tf.math.is_finite(leaf) if bounds is None else (leaf >= bounds[0]) & (leaf <= bounds[1])
