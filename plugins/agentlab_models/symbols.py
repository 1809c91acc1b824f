"""What models of symbols need to know of an environment."""

from __future__ import annotations

from agentlab import errors
from agentlab.spec import EnvironmentSpec


def num_symbols(spec: EnvironmentSpec) -> int:
    """Returns how many symbols there are in the windows `[T]` that an environment shows.

    Raises:
        UsageError: it shows something else.
    """
    shown = spec.observation
    if len(shown.shape) != 1 or not shown.dtype.startswith("int") or shown.minimum != 0:
        raise errors.UsageError(
            f"A model of sequences needs windows of symbols, whole numbers from 0 on; environment {spec.name!r} shows a "
            f"{shown}. Choose environment 'text' or another model, such as 'mlp'."
        )
    return int(shown.maximum) + 1
