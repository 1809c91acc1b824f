"""Settings that trainers with critics share, and what they ask of models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.model import as_network

MOST_STEPS = 1_000  # of a return; each is a part of the compiled program


def steps_of_return() -> Any:
    """Returns the attrs field of `num_steps`: 1 to MOST_STEPS."""
    return attrs.field(default=1, validator=[attrs.validators.ge(1), attrs.validators.le(MOST_STEPS)])


def averaging_rate(default: float) -> Any:
    """Returns the attrs field of `target_update_rate`: None, or greater than 0 and at most 1."""
    within: Any = attrs.validators.optional([attrs.validators.gt(0), attrs.validators.le(1)])
    return attrs.field(default=default, validator=within)


def check_stateless(models: Iterable[keras.Model], algorithm: str) -> None:
    """Checks that models value single observations.

    Raises:
        UsageError: one carries a state from step to step.
    """
    for model in models:
        if tf.nest.flatten(as_network(model).initial_state(1)):
            raise errors.UsageError(
                f"{algorithm} values single observations; model {model.name!r} carries a state from step to step. "
                "Choose another."
            )
