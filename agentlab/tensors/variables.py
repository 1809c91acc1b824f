"""tf.Variables as arrays: copied for a checkpoint, and filled from one, without a second copy of what is large on the way."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from agentlab.system import arrays


def copied(variable: tf.Variable) -> np.ndarray:
    """Returns a copy of what a variable holds; five times as quick for a small one as its own conversion to an array."""
    return np.asarray(variable.value().numpy())


def copied_by_rows(ring: tf.Variable) -> np.ndarray:
    """Returns a copy of what a memory's variable holds, a large one made block by block.

    For variables that are read and written by rows anyway: TensorFlow makes every whole read of one a copy from then on.
    """
    blocks = _blocks(ring)
    if not blocks:
        return copied(ring)
    whole = np.empty(ring.shape, ring.dtype.as_numpy_dtype)
    for rows in blocks:
        whole[rows.start : rows.stop] = ring.sparse_read(tf.range(rows.start, rows.stop)).numpy()
    return whole


def assign(path: pathlib.Path, variables: Mapping[str, tf.Variable]) -> None:
    """Assigns variables what a file holds.

    Raises:
        UnreadableError: names, shapes or dtypes are different, or it is no safetensors file.
    """
    arrays.check(path, variables)
    for name, variable in variables.items():
        variable.assign(arrays.read_one(path, name, variable))


def assign_by_rows(path: pathlib.Path, rings: Mapping[str, tf.Variable]) -> None:
    """Assigns a memory's variables what a file holds, large ones block by block; for which see `copied_by_rows`.

    Raises:
        UnreadableError: names, shapes or dtypes are different, or it is no safetensors file.
    """
    arrays.check(path, rings)
    for name, ring in rings.items():
        blocks = _blocks(ring)
        if not blocks:
            ring.assign(arrays.read_one(path, name, ring))
        for rows in blocks:
            ring.scatter_update(tf.IndexedSlices(arrays.read_one(path, name, ring, rows), tf.range(rows.start, rows.stop)))


def _blocks(variable: tf.Variable) -> list[range]:
    """Returns the rows of a variable in stretches of `arrays.BLOCK` bytes or somewhat less; none if it is no larger."""
    size = math.prod(variable.shape) * variable.dtype.size
    if size <= arrays.BLOCK:
        return []
    rows = variable.shape[0]
    length = max(1, arrays.BLOCK * rows // size)
    return [range(begin, min(rows, begin + length)) for begin in range(0, rows, length)]
