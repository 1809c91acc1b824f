"""Staging: where steps wait on the host until the memory takes them."""

from __future__ import annotations

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

        # The same columns as nests, to be filled without taking anything apart.
        columns = iter([self._records[name] for name, _, _ in described])
        nests = {
            name: tf.nest.pack_sequence_as(signature, [next(columns) for _ in tf.nest.flatten(signature)])
            for name, signature in self._fields.items()
        }
        self._of_decision = [(name, nests[name]) for name in OF_DECISION if name in nests]
        self._of_timestep = [(name, nests[name]) for name in OF_TIMESTEP if name in nests]
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
        for name, columns in self._of_decision:
            _put(columns, getattr(decision, name), begin, end)
        for name, columns in self._of_timestep:
            _put(columns, getattr(timestep, name), begin, end)

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
        return tf.reshape(tf.bitcast(tf.reshape(part, [-1, *_byte_shape(dtype.base)]), dtype.base.name), [-1, *dtype.shape])


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


def _put(columns: Nest, values: Nest, begin: int, end: int) -> None:
    """Copies a nest of arrays `[B, ...]` to the rows from `begin` to `end` of a nest of columns."""
    if isinstance(columns, np.ndarray):  # as of most environments
        columns[begin:end] = values
        return
    for column, array in zip(tf.nest.flatten(columns), tf.nest.flatten(values), strict=True):
        column[begin:end] = array


def _byte_shape(dtype: np.dtype) -> list[int]:
    return [dtype.itemsize] if dtype.itemsize > 1 else []
