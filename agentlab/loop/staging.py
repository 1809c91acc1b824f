"""Stage: where transitions wait on the host until a memory takes them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab.spec import EnvironmentSpec
from agentlab.types import TimeStep

STAGE_ROWS = 1_024  # kept on the host before they go to the memory, where updates are further apart


class Stage:
    """Where actions led, waiting on the host: rows of one record array, which reaches TensorFlow as a single tensor of bytes.

    Turning a NumPy array into a tensor costs more than a small operation on it, so a step is handed over in one piece.

    Args:
        spec: of the environment.
        rows: B, environments side by side.
    """

    def __init__(self, spec: EnvironmentSpec, rows: int) -> None:
        observed = (spec.observation.dtype, spec.observation.shape)
        led_to: list[Any] = [
            ("reward", "float32"),
            ("terminated", "bool"),
            ("truncated", "bool"),
            ("final_observation", *observed),
        ]
        if spec.target is not None:
            led_to.append(("target", spec.target.dtype, spec.target.shape))
        acted = [("observation", *observed), ("action", spec.action.dtype, spec.action.shape), ("row", "int64")]
        self.dtype = np.dtype([*acted, *led_to])
        self._led_to = operator.attrgetter(*(field[0] for field in led_to))
        self._row = np.arange(rows)
        self._records = np.zeros(STAGE_ROWS + rows, self.dtype)
        self._columns = [self._records[name] for name in self.dtype.names]  # type: ignore[union-attr]
        self._count = 0

    @property
    def has_rows(self) -> bool:
        """Whether any wait."""
        return self._count > 0

    @property
    def is_full(self) -> bool:
        """Whether they have to be taken before the next step."""
        return self._count >= STAGE_ROWS

    def add(self, observation: np.ndarray, action: np.ndarray, timestep: TimeStep) -> None:
        """Takes in what was acted on `[B, *O]`, the actions `[B, *A]` and where they led."""
        acted = None if isinstance(timestep.first, tuple) else ~np.asarray(timestep.first)
        begin = self._count
        self._count += len(self._row) if acted is None else int(np.count_nonzero(acted))
        for column, values in zip(self._columns, (observation, action, self._row, *self._led_to(timestep)), strict=True):
            column[begin : self._count] = values if acted is None else values[acted]

    def take(self) -> np.ndarray:
        """Returns the waiting rows as bytes `[N, row size]`, which stay valid until the next `add`, and forgets them."""
        count, self._count = self._count, 0
        return self._records[:count].view(np.uint8).reshape(count, self.dtype.itemsize)

    def unpack(self, data: Any) -> tuple[Any, Any, TimeStep, Any]:
        """Returns (observation, action, time step, row) from the bytes of N rows; traceable."""
        leaves = {name: self._unpack_field(data, name) for name in self.dtype.names}  # type: ignore[union-attr]
        observation, action, row = leaves.pop("observation"), leaves.pop("action"), leaves.pop("row")
        return observation, action, TimeStep(leaves["final_observation"], **leaves), row

    def _unpack_field(self, data: Any, name: str) -> Any:
        dtype, offset = self.dtype.fields[name][:2]  # type: ignore[index]
        part = data[:, offset : offset + dtype.itemsize]
        if dtype.base == np.bool_:
            return tf.reshape(tf.cast(part, tf.bool), [-1, *dtype.shape])
        return tf.reshape(tf.bitcast(tf.reshape(part, [-1, *_byte_shape(dtype.base)]), dtype.base.name), [-1, *dtype.shape])


def _byte_shape(dtype: np.dtype) -> list[int]:
    return [dtype.itemsize] if dtype.itemsize > 1 else []
