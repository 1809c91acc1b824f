"""Keras optimizers by name, with their arguments and schedules."""

from __future__ import annotations

from typing import Any

import keras

from agentlab import errors, schedules
from agentlab.tensors.adam import Adam
from agentlab.types import Tensor

OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


def make_optimizer(
    optimizer: str | dict[str, Any] | keras.optimizers.Optimizer,
    learning_rate: float | schedules.Schedule,
    is_first: bool = True,
) -> keras.optimizers.Optimizer:
    """Returns the Keras optimizer of a network.

    Args:
        optimizer: a name; a table of such a name and arguments of Keras's; or an optimizer.
        learning_rate: of the optimizer named; a schedule counts its steps.
        is_first: whether it is the first of a trainer, which an optimizer is used for itself; the others get a copy.

    Raises:
        UsageError: there is no such optimizer, or it does not take the arguments.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer if is_first else type(optimizer).from_config(optimizer.get_config())

    # A name alone is a table without arguments.
    arguments = dict(optimizer) if isinstance(optimizer, dict) else {"name": optimizer}
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise errors.UsageError(
            f"The optimizer is {optimizer!r}; expected {', '.join(OPTIMIZERS)}, or a table with such a name and "
            "arguments of Keras's, or a keras.optimizers.Optimizer."
        )
    if name not in OPTIMIZERS:
        raise errors.UsageError(errors.unknown("optimizer", name, OPTIMIZERS))
    rate = _Scheduled(learning_rate) if isinstance(learning_rate, schedules.Schedule) else learning_rate
    return _with_arguments(name, rate, arguments)


def _with_arguments(name: str, learning_rate: float | _Scheduled, arguments: dict[str, Any]) -> keras.optimizers.Optimizer:
    kind = OPTIMIZERS[name]
    try:
        if wrong := [argument for argument, value in arguments.items() if isinstance(value, (str, list, dict))]:
            raise ValueError(f"{', '.join(wrong)} should be a number, true, false or none")  # Keras fails when it updates
        return kind(learning_rate, **arguments)
    except (TypeError, ValueError) as error:
        raise errors.UsageError(
            f"Optimizer {name!r} does not take {arguments}: {error}. Expected arguments of keras.optimizers.{kind.__name__}; "
            "the learning rate is a setting of its own."
        ) from error


class _Scheduled(keras.optimizers.schedules.LearningRateSchedule):
    """An agentlab schedule for a Keras optimizer, which counts its own steps."""

    def __init__(self, schedule: schedules.Schedule) -> None:
        self.schedule = schedule

    def __call__(self, step: int | Tensor) -> float | Tensor:
        return self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": str(self.schedule)}
