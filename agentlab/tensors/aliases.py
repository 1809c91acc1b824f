"""Type aliases for tensors and nests; TensorFlow has no type stubs. Imports no TensorFlow."""

from __future__ import annotations

from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # a tf.Tensor, or a NumPy array on the host
Nest: TypeAlias = Any  # a tensor, or a mapping of names to nests
Seed: TypeAlias = Any  # [2] int64, for `agentlab.seeds`
Shape: TypeAlias = tuple[int, ...]
