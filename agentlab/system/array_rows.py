"""Rows of large arrays: which are in use, and which were written since."""

from __future__ import annotations

import numpy as np

from agentlab.system import files


def without_zeros(array: np.ndarray) -> np.ndarray:
    """Returns `array` without the trailing rows that are zeros bit by bit, such as a replay has that is not full yet."""
    if array.ndim == 0 or not array.nbytes:
        return array

    # [rows, bytes]; then ever larger blocks from the end on, until one has a byte that is not 0.
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)
    end, step, most = len(rows), 1, max(1, files.BLOCK // rows.shape[1])
    while end:  # a ring that is full is seen to be so by its last row
        begin = max(0, end - step)
        used = np.flatnonzero(rows[begin:end].any(axis=1))
        if len(used):
            return array[: begin + int(used[-1]) + 1]
        end, step = begin, min(step * 8, most)
    return array[:0]


def appended_slots(rows: int, before: int, count: int) -> list[range]:
    """Returns which of an array's rows were written while what was appended to it grew from `before` rows to `count`.

    Row i lies in row i modulo `rows`, see `agentlab.memory.Memory.appended_rows`.
    """
    if count - before >= rows:
        return [range(rows)]
    begin = before % rows
    end = begin + count - before
    return [slots for slots in (range(begin, min(end, rows)), range(end - rows)) if slots]
