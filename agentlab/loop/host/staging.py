"""Staging: where steps wait on the host until the memory takes them."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab.memory import Layout
from agentlab.types import Decision, Nest, Tensor, TimeStep

STAGED_ROWS = 1_024  # kept on the host before they go to the memory, where updates are further apart
OF_DECISION = ("observation", "action", "output", "state")
OF_TIMESTEP = ("reward", "terminated", "truncated", "final_observation", "target", "acted")


class Staging:
    """A buffer of steps on the host: rows of one record array, which TensorFlow gets as a single tensor of bytes.

    Turning a NumPy array into a tensor costs more than a small operation on it, so all leaves are handed over in one piece.

    Args:
        layout: of the steps.
    """

    def __init__(self, layout: Layout) -> None:
        rows = layout.num_environments
        self._fields = _fields(layout)
        # One field of the record per leaf, and the number of the row's environment.
        leaves = [(name, leaf) for name, signature in self._fields.items() for leaf in tf.nest.flatten(signature)]
        described = [
            (f"{name}/{index}", leaf.dtype.as_numpy_dtype, tuple(leaf.shape)) for index, (name, leaf) in enumerate(leaves)
        ]
        self.dtype = np.dtype([*described, ("row", "int64")])
        self._rows = rows
        self._records = np.zeros(STAGED_ROWS + rows, self.dtype)
        self._records["row"] = np.arange(len(self._records)) % rows  # whole turns wait, from the first place on

        # The same columns as nests, to be filled without taking anything apart; most are single arrays.
        columns = iter([self._records[name] for name, _, _ in described])
        nests = {
            name: tf.nest.pack_sequence_as(signature, [next(columns) for _ in tf.nest.flatten(signature)])
            for name, signature in self._fields.items()
        }
        self._of_decision, self._of_timestep = _Columns.of(nests, OF_DECISION), _Columns.of(nests, OF_TIMESTEP)
        self._count = 0

    @property
    def has_rows(self) -> bool:
        """Whether any wait."""
        return self._count > 0

    @property
    def is_full(self) -> bool:
        """Whether they have to be taken before the next step."""
        return self._count >= STAGED_ROWS

    def add(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in the rows of a turn; arrays are copied."""
        begin = self._count
        self._count = end = begin + self._rows
        self._of_decision.put(decision, begin, end)
        self._of_timestep.put(timestep, begin, end)

    def take(self) -> np.ndarray:
        """Returns the waiting rows as bytes `[N, row size]`, which stay valid until the next `add`, and forgets them."""
        count, self._count = self._count, 0
        return self._records[:count].view(np.uint8).reshape(count, self.dtype.itemsize)

    def unpack(self, data: Tensor) -> tuple[Decision, TimeStep, Tensor]:
        """Returns (decision, time step, row) from the bytes `[N, row size]` of N rows; traceable."""
        # Bytes of each field back to its dtype: [N, *shape].
        leaves = iter([self._unpack(data, name) for name in self.dtype.names])  # type: ignore[union-attr]
        values = {
            name: tf.nest.pack_sequence_as(signature, [next(leaves) for _ in tf.nest.flatten(signature)])
            for name, signature in self._fields.items()
        }
        decision = Decision(**{name: values.get(name, ()) for name in OF_DECISION}, next_state=())
        timestep = TimeStep(observation=values["final_observation"], **{name: values.get(name, ()) for name in OF_TIMESTEP})
        return decision, timestep, next(leaves)

    def _unpack(self, data: Tensor, name: str) -> Tensor:
        dtype, offset = self.dtype.fields[name][:2]  # type: ignore[index]
        part = data[:, offset : offset + dtype.itemsize]
        if dtype.base == np.bool_:
            return tf.reshape(tf.cast(part, tf.bool), [-1, *dtype.shape])
        # The bytes of a number, if there are several, are an axis of their own; of a scalar they are one already.
        parted = tf.reshape(part, [-1, *dtype.shape, *_byte_shape(dtype.base)])
        return tf.bitcast(part if not dtype.shape and dtype.itemsize > 1 else parted, dtype.base.name)


@attrs.frozen(eq=False)
class _Columns:
    """The columns of a decision's or a time step's fields.

    Attributes:
        single: of fields that are one array, by name.
        nested: of the others: the arrays of a nest, in TensorFlow's order.
    """

    single: list[tuple[str, np.ndarray]]
    nested: list[tuple[str, list[np.ndarray]]]

    @classmethod
    def of(cls, nests: dict[str, Nest], names: tuple[str, ...]) -> _Columns:
        """Returns the columns of those names of which there are some."""
        fields = [(name, nests[name]) for name in names if name in nests]
        single = [(name, nest) for name, nest in fields if isinstance(nest, np.ndarray)]
        return cls(single, [(name, tf.nest.flatten(nest)) for name, nest in fields if not isinstance(nest, np.ndarray)])

    def put(self, whole: Decision | TimeStep, begin: int, end: int) -> None:
        """Copies the fields' arrays `[B, ...]` to the rows from `begin` to `end`."""
        for name, column in self.single:
            column[begin:end] = getattr(whole, name)
        for name, columns in self.nested:
            for column, array in zip(columns, tf.nest.flatten(getattr(whole, name)), strict=True):
                column[begin:end] = array


def _fields(layout: Layout) -> dict[str, Nest]:
    """Returns the signatures of what is buffered, by the name of a decision's or time step's field, in order."""
    step = layout.step_signature()
    flag = tf.TensorSpec([], tf.bool)
    fields = {
        "observation": step.observation,
        "action": step.action,
        "output": step.output,
        "state": step.state,
        "reward": step.reward,
        "terminated": flag,
        "truncated": flag,
        "final_observation": step.next_observation,
        "target": step.target,
        "acted": flag,
    }
    return {name: signature for name, signature in fields.items() if tf.nest.flatten(signature)}


def _byte_shape(dtype: np.dtype) -> list[int]:
    return [dtype.itemsize] if dtype.itemsize > 1 else []
