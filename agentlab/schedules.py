"""Schedules: settings that change with the number of steps taken or updates made."""

from __future__ import annotations

import abc
from typing import Any

import attrs


class Schedule(abc.ABC):
    """A number that depends on a count; called with a Python int or a tensor, it answers in kind of float32.

    In a config file or after `--set` it is a plain number (constant) or a table of `kind`, `initial`, `final` and `steps`.
    """

    @abc.abstractmethod
    def __call__(self, count: Any) -> Any:
        """Returns the value at `count` (of steps, or updates: the setting that holds the schedule says which)."""


@attrs.frozen
class Constant(Schedule):
    """Always `value`."""

    value: float

    def __call__(self, count: Any) -> Any:
        import tensorflow as tf

        return tf.constant(self.value, tf.float32)


@attrs.frozen
class Linear(Schedule):
    """From `initial` to `final` in a straight line over `steps`, then `final`."""

    initial: float
    final: float
    steps: int = attrs.field(validator=attrs.validators.ge(1))

    def __call__(self, count: Any) -> Any:
        return self.initial + (self.final - self.initial) * _fraction(count, self.steps)


@attrs.frozen
class Exponential(Schedule):
    """From `initial` to `final` by a constant factor per step over `steps`, then `final`; both are positive."""

    initial: float = attrs.field(validator=attrs.validators.gt(0.0))
    final: float = attrs.field(validator=attrs.validators.gt(0.0))
    steps: int = attrs.field(validator=attrs.validators.ge(1))

    def __call__(self, count: Any) -> Any:
        import tensorflow as tf

        return self.initial * tf.pow(tf.constant(self.final / self.initial, tf.float32), _fraction(count, self.steps))


KINDS: dict[str, type[Schedule]] = {"constant": Constant, "linear": Linear, "exponential": Exponential}


def _fraction(count: Any, steps: int) -> Any:
    import tensorflow as tf

    return tf.minimum(tf.cast(count, tf.float32) / float(steps), 1.0)


def as_schedule(value: float | Schedule) -> Schedule:
    """Returns `value` as a schedule: a plain number is constant."""
    return value if isinstance(value, Schedule) else Constant(float(value))


def values_of(value: float | Schedule) -> list[float]:
    """Returns the values between which a setting stays: a plain number, or those at which its schedule begins and ends."""
    if not isinstance(value, Schedule):
        return [value]
    fields = attrs.asdict(value)  # type: ignore[arg-type]
    return [number for name, number in fields.items() if name != "steps"]
