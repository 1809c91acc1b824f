"""The number of symbols of an environment."""

from __future__ import annotations

import numpy as np

from agentlab import errors
from agentlab.spec import EnvironmentSpec, array_of, is_array


def shows_symbols(spec: EnvironmentSpec) -> bool:
    """Returns whether an environment shows windows `[T]` of symbols, whole numbers from 0 to a highest one."""
    space = spec.seen
    if not is_array(space) or len(space.shape) != 1:
        return False
    lowest, highest = np.min(space.minimum), np.max(space.maximum)
    return space.dtype.startswith("int") and lowest == 0 and bool(np.isfinite(highest))


def num_symbols(spec: EnvironmentSpec) -> int:
    """Returns how many symbols there are in the windows `[T]` that an environment shows.

    Raises:
        UsageError: it shows something else.
    """
    space = array_of(spec.seen, "A model of symbols", spec.name)
    if not shows_symbols(spec):
        raise errors.UsageError(
            f"A model of symbols needs windows of them, whole numbers from 0 on; environment {spec.name!r} shows a "
            f"{space}. Choose environment 'text' or another model, such as 'mlp'."
        )
    return int(np.max(space.maximum)) + 1
