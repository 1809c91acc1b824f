"""Schedules: settings that change with the number of steps taken or updates made."""

from __future__ import annotations

import abc
import copy
from typing import Any, TypeVar

import attrs

from agentlab import errors
from agentlab.tensors.aliases import Tensor


class Schedule(abc.ABC):
    """A number that depends on a count. Accepts an int or a tensor; returns float32 of the same kind.

    In a config file or after `--set` it is a plain number (constant) or a table of `kind`, `initial`, `final` and `steps`.
    """

    @abc.abstractmethod
    def __call__(self, count: int | Tensor) -> float | Tensor:
        """Returns the value at `count` (of steps, or updates: the setting that holds the schedule says which)."""

    def spanning(self, total: int) -> Schedule:
        """Returns the schedule for a budget of `total` in what it counts; one without a length spans it."""
        return self

    def values(self) -> list[float]:
        """Returns the values that it stays between."""
        fields = attrs.asdict(self)  # type: ignore[arg-type]
        return [number for name, number in fields.items() if name != "steps"]


@attrs.frozen
class Constant(Schedule):
    """Always `value`."""

    value: float

    def __call__(self, count: int | Tensor) -> float | Tensor:
        import tensorflow as tf

        return tf.constant(self.value, tf.float32)


def _length() -> Any:
    return attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))


@attrs.frozen
class Linear(Schedule):
    """From `initial` to `final` in a straight line over `steps`, then `final`; without `steps`, over the whole budget."""

    initial: float
    final: float
    steps: int | None = _length()

    def __call__(self, count: int | Tensor) -> float | Tensor:
        return self.initial + (self.final - self.initial) * _fraction(count, self)

    def spanning(self, total: int) -> Schedule:
        return self if self.steps is not None else attrs.evolve(self, steps=total)


@attrs.frozen
class Exponential(Schedule):
    """From `initial` to `final` by a constant factor per step over `steps`, then `final`; both are positive.

    Without `steps`, over the whole budget.
    """

    initial: float = attrs.field(validator=attrs.validators.gt(0.0))
    final: float = attrs.field(validator=attrs.validators.gt(0.0))
    steps: int | None = _length()

    def __call__(self, count: int | Tensor) -> float | Tensor:
        import tensorflow as tf

        return self.initial * tf.pow(tf.constant(self.final / self.initial, tf.float32), _fraction(count, self))

    def spanning(self, total: int) -> Schedule:
        return self if self.steps is not None else attrs.evolve(self, steps=total)


KINDS: dict[str, type[Schedule]] = {"constant": Constant, "linear": Linear, "exponential": Exponential}

Part = TypeVar("Part")


def _fraction(count: int | Tensor, schedule: Linear | Exponential) -> float | Tensor:
    import tensorflow as tf

    if schedule.steps is None:
        raise errors.UsageError(
            f"The schedule {schedule} has no length, which it takes from a run's budget; there is none here. Give it 'steps'."
        )
    return tf.minimum(tf.cast(count, tf.float32) / float(schedule.steps), 1.0)


def as_schedule(value: float | Schedule) -> Schedule:
    """Returns `value` as a schedule: a plain number is constant."""
    return value if isinstance(value, Schedule) else Constant(float(value))


def spanning(value: Any, total: int | None) -> Any:
    """Returns a setting's value; a schedule without a length gets `total`, the whole budget in what it counts."""
    return value.spanning(total) if isinstance(value, Schedule) and total is not None else value


def spanning_settings(part: Part, total: int | None) -> Part:
    """Returns a part whose schedules without a length span `total`."""
    if not attrs.has(type(part)):  # a plain class keeps its settings as it likes
        spanned = copy.copy(part)
        vars(spanned).update({name: spanning(value, total) for name, value in vars(part).items()})
        return spanned

    # A part whose settings hold no schedule stays the object it is.
    fields = {field.alias or field.name: getattr(part, field.name) for field in attrs.fields(type(part)) if field.init}  # type: ignore[arg-type]
    changes = {name: spanning(value, total) for name, value in fields.items()}
    return attrs.evolve(part, **changes) if any(changes[name] is not fields[name] for name in fields) else part  # type: ignore[misc]


def current_values(part: Any, count: int) -> dict[str, float]:
    """Returns the values of a part's schedules at a count, by the names of its settings."""
    names = [field.name for field in attrs.fields(type(part))] if attrs.has(type(part)) else list(getattr(part, "__dict__", ()))
    settings = {name.lstrip("_"): getattr(part, name) for name in names}
    return {name: float(value(count)) for name, value in settings.items() if isinstance(value, Schedule)}


def values_of(value: float | Schedule) -> list[float]:
    """Returns the values between which a setting stays: a plain number, or those at which its schedule begins and ends."""
    return value.values() if isinstance(value, Schedule) else [value]
