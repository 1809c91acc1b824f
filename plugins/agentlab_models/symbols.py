"""The number of symbols of an environment."""

from __future__ import annotations

import numpy as np

from agentlab import errors
from agentlab.spec import EnvironmentSpec, array_of


def num_symbols(spec: EnvironmentSpec) -> int:
    """Returns how many symbols there are in the windows `[T]` that an environment shows.

    Raises:
        UsageError: it shows something else.
    """
    space = array_of(spec.seen, "A model of sequences", spec.name)
    if len(space.shape) != 1 or not space.dtype.startswith("int") or space.minimum != 0:
        raise errors.UsageError(
            f"A model of sequences needs windows of symbols, whole numbers from 0 on; environment {spec.name!r} shows a "
            f"{space}. Choose environment 'text' or another model, such as 'mlp'."
        )
    return int(np.max(space.maximum)) + 1
