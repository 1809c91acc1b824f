"""HostCall: a traceable function as a host program calls it, with nests of NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab.tensors.execution import GraphCall
from agentlab.types import Nest, Packer, Tensor, packers

LEAVES = {np.ndarray, tf.__internal__.EagerTensor}


class HostCall:
    """A traceable function called from the host with nests of arrays.

    Args:
        function: takes nests of tensors; returns a tuple of nests of tensors, or None.
        signature: a nest of `tf.TensorSpec`s for each argument.
        execution: "eager", or anything else for a graph.
        fuse: as of `GraphCall`.
    """

    def __init__(self, function: Callable[..., Nest], signature: Sequence[Nest], execution: str, fuse: bool = False) -> None:
        self._function = function
        self._signature = list(signature)
        self._packers: list[Packer] = []
        flat = tf.nest.flatten(self._signature)
        self._run = self._flat if execution == "eager" else GraphCall(self._flat, flat, fuse)

    def _flat(self, *leaves: Tensor) -> tuple[Tensor, ...]:
        values = tf.nest.pack_sequence_as(self._signature, [tf.convert_to_tensor(leaf) for leaf in leaves])
        results = self._function(*values) or ()
        self._packers = packers(results)
        return tuple(tf.nest.flatten(results))

    def __call__(self, *values: Nest) -> tuple[Nest, ...]:
        """Returns the function's results as arrays, for nests of arrays that match the signature."""
        leaves = [output.numpy() for output in self.outputs(*values)]
        return tuple([pack(leaves) for pack in self._packers])

    def outputs(self, *values: Nest) -> Sequence[Tensor]:
        """Returns the leaves of all results as eager tensors: making an array of one costs several microseconds."""
        leaves: list[Any] = []
        for value in values:
            _add_leaves(value, leaves)
        return self._run(*leaves)

    def result(self, index: int, leaves: Sequence[Any]) -> Nest:
        """Returns the result of that number, of the leaves of all results."""
        return self._packers[index](leaves)


def _add_leaves(value: Nest, leaves: list[Any]) -> None:
    """Adds the leaves of a nest in TensorFlow's order, in a quarter to half of the time that `tf.nest` takes."""
    kind = value.__class__
    if kind in LEAVES:
        leaves.append(value)
    elif kind is tuple:
        for part in value:
            _add_leaves(part, leaves)
    else:
        leaves.extend(tf.nest.flatten(value))
