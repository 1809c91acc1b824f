"""tf.Variables as arrays: copied for a checkpoint and restored from one, without a second copy of large ones."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from agentlab.system import files
from agentlab.system.arrays import ArrayFile
from agentlab.system.ranges import CheckedFile, Range

NO_RANGES: Mapping[str, Range] = types.MappingProxyType({})


def copied(variable: tf.Variable) -> np.ndarray:
    """Returns a copy of what a variable holds; five times as quick for a small one as its own conversion to an array."""
    return np.asarray(variable.value().numpy())


def copied_by_rows(ring: tf.Variable, count: int | None = None) -> np.ndarray:
    """Returns a copy of what a memory's variable holds, a large one made block by block, of its first `count` rows only.

    For variables that are read and written by rows anyway: TensorFlow makes every whole read of one a copy from then on.
    """
    rows = ring.shape[0] if ring.shape.rank else 0
    count = rows if count is None else count
    blocks = _blocks(ring)
    if not blocks:
        return copied(ring) if count == rows else ring.sparse_read(tf.range(count)).numpy()

    # Block by block: a whole copy on the device would double what the memory takes.
    whole = np.empty([count, *ring.shape[1:]], ring.dtype.as_numpy_dtype)
    for block in blocks:
        if block.start < count:
            stop = min(block.stop, count)
            whole[block.start : stop] = ring.sparse_read(tf.range(block.start, stop)).numpy()
    return whole


def copied_bytes(ring: tf.Variable, begin: int, end: int) -> np.ndarray:
    """Returns a copy `[end - begin]` uint8 of some bytes of what a variable by rows holds; for which see `copied_by_rows`."""
    row_bytes = math.prod(ring.shape[1:]) * ring.dtype.size
    first, stop = begin // row_bytes, -(-end // row_bytes)
    rows = np.asarray(ring.sparse_read(tf.range(first, stop)))  # the tensor's own memory, which nobody else writes to
    return rows.reshape(-1).view(np.uint8)[begin - first * row_bytes : end - first * row_bytes]


def used_rows(ring: tf.Variable) -> int | None:
    """Returns how many rows of a large variable come before the zeros at its end, to a block of rows; None of a small one."""
    blocks = _blocks(ring)
    for rows in reversed(blocks):
        block = ring.sparse_read(tf.range(rows.start, rows.stop)).numpy()
        if block.view(np.uint8).any():  # -0.0 is no zero bit by bit
            return rows.stop
    return 0 if blocks else None


def assign(file: ArrayFile, variables: Mapping[str, tf.Variable], ranges: Mapping[str, Range] = NO_RANGES) -> None:
    """Assigns variables what a file holds.

    Raises:
        UnreadableError: names, shapes or dtypes are different, a number is out of its range, or the file was changed since it
            was opened.
    """
    file.check(variables)
    checked = CheckedFile(file, ranges)
    for name, variable in variables.items():
        variable.assign(checked.read(name, variable))


def assign_by_rows(file: ArrayFile, rings: Mapping[str, tf.Variable], ranges: Mapping[str, Range] = NO_RANGES) -> None:
    """Assigns a memory's variables what a file holds, large ones block by block; for which see `copied_by_rows`.

    Raises:
        UnreadableError: as of `assign`.
    """
    file.check(rings, short=True)
    checked = CheckedFile(file, ranges)

    # A block at a time, so that file and variable are never both whole in memory.
    for name, ring in rings.items():
        blocks = _blocks(ring)
        if not blocks:
            ring.assign(checked.read(name, ring))
        for rows in blocks:
            ring.scatter_update(tf.IndexedSlices(checked.read(name, ring, rows), tf.range(rows.start, rows.stop)))


def _blocks(variable: tf.Variable) -> list[range]:
    """Returns the rows of a variable in stretches of `files.BLOCK` bytes or somewhat less; none if it is no larger."""
    size = math.prod(variable.shape) * variable.dtype.size
    if size <= files.BLOCK:
        return []
    rows = variable.shape[0]
    length = max(1, files.BLOCK * rows // size)
    return [range(begin, min(rows, begin + length)) for begin in range(0, rows, length)]
