"""Live settings: those of a part that may be changed during training, because the loop reads them from variables."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any

import attrs
import tensorflow as tf

from agentlab import errors, settings
from agentlab.checks import scalars
from agentlab.schedules import Constant, Schedule, as_schedule
from agentlab.tensors.state import Scratch

Assign = Callable[[str, Any], object]


class LiveSchedule(Schedule):
    """A schedule that a number can replace during training.

    Args:
        original: what counts until then.
        number: float32 scalar variable that takes its place; by default a new one.
    """

    def __init__(self, original: Schedule, number: tf.Variable | None = None) -> None:
        self.original = original
        self._is_constant = isinstance(original, Constant)
        start = original.value if isinstance(original, Constant) else math.nan  # nan: the original counts
        self._number = Scratch(tf.Variable(start, dtype=tf.float32, trainable=False) if number is None else number)

    def __repr__(self) -> str:
        return repr(self.original.values()[0] if self._is_constant else self.original)

    @property
    def number(self) -> tf.Variable:
        """The variable. It is not state of the part that holds the schedule: checkpoints record the change instead."""
        return self._number.variable

    def __call__(self, count: Any) -> Any:
        number = self.number.read_value()
        return number if self._is_constant else tf.where(tf.math.is_nan(number), self.original(count), number)

    def spanning(self, total: int) -> Schedule:
        return LiveSchedule(self.original.spanning(total), self.number)

    def values(self) -> list[float]:
        return self.original.values()


@attrs.frozen(eq=False)
class _LiveSetting:
    """A live setting: its part, how its values are checked, and what takes a new one."""

    part: Any
    field: attrs.Attribute
    kind: type
    assign: Assign


class LiveSettings:
    """The live settings of a run's parts, by "PART.SETTING", such as "trainer.learning_rate".

    Attributes:
        changed: the values of those that were changed, by name.
    """

    def __init__(self) -> None:
        self.changed: dict[str, float] = {}
        self._settings: dict[str, _LiveSetting] = {}

    def add(self, name: str, part: Any, assign: Assign | None = None) -> None:
        """Makes the loop read a part's live settings from variables, which the part's attributes hold from now on.

        A setting that may be a schedule becomes a `LiveSchedule`; another one a variable, float32, or int64 for whole numbers.

        Args:
            name: of the part, such as "trainer".
            part: that hasn't been traced yet.
            assign: takes the name and the new value of a setting, for a part that keeps plain numbers.
        """
        for field in live_fields(part):
            alias = field.alias or field.name
            kinds = _options(field.type)
            kind = float if float in kinds else int
            set_value = assign or _variable_for(part, field, any(issubclass(option, Schedule) for option in kinds), kind)
            self._settings[f"{name}.{alias}"] = _LiveSetting(part, field, kind, set_value)

    def __contains__(self, name: str) -> bool:
        return name in self._settings

    def check(self, name: str, value: Any) -> float:
        """Returns a new value of a setting as its number.

        Raises:
            UsageError: the setting is not live, or this is none of its values.
        """
        if name not in self._settings:
            live = ", ".join(sorted(self._settings)) or "none"
            raise errors.UsageError(
                f"Setting {name!r} can't be changed during training: the loop is compiled with its value. Live settings of "
                f"this run: {live}. Give others when the run begins, by changes= or --set."
            )
        setting = self._settings[name]

        # The setting's own checks, as at the beginning of a run.
        number = settings.convert(scalars.plain(value), setting.kind, f"{name!r}")
        try:
            if not math.isfinite(number):
                raise ValueError(f"{name!r} must be finite: {number}")
            if setting.field.validator is not None:
                setting.field.validator(setting.part, setting.field, number)
        except (ValueError, TypeError) as error:
            raise errors.UsageError(f"Setting {name!r} can't be changed to {number:g}: {settings.reason(error)}.") from error
        return number

    def change(self, name: str, value: Any) -> None:
        """Changes a setting; raises UsageError as `check`."""
        number, setting = self.check(name, value), self._settings[name]
        setting.assign(setting.field.alias or setting.field.name, number)
        self.changed[name] = number


def live_fields(part: Any) -> list[attrs.Attribute]:
    """Returns the fields of a part that are live settings: declared so, and with a number or a schedule in this run."""
    fields = attrs.fields(attrs.resolve_types(type(part))) if attrs.has(type(part)) else ()
    return [field for field in fields if field.init and _is_live(part, field)]


def _is_live(part: Any, field: attrs.Attribute) -> bool:
    declared = field.metadata.get(settings.LIVE, False)
    is_declared = declared(part) if callable(declared) else declared
    return bool(is_declared) and getattr(part, field.name, None) is not None


def _variable_for(part: Any, field: attrs.Attribute, may_be_schedule: bool, kind: type) -> Assign:
    """Replaces a setting's value by a variable, and returns what assigns it."""
    value = getattr(part, field.name)

    # A setting that may be a schedule stays one, and its number replaces it; any other becomes a variable.
    if may_be_schedule:
        held: Any = LiveSchedule(value.original if isinstance(value, LiveSchedule) else as_schedule(value))
        variable = held.number
    else:
        number = value.numpy() if isinstance(value, tf.Variable) else value
        held = variable = tf.Variable(number, dtype=tf.int64 if kind is int else tf.float32, trainable=False)
    object.__setattr__(part, field.name, held)  # of a frozen class too
    return lambda _, number: variable.assign(number)


def _options(kind: Any) -> list[type]:
    """Returns the classes of an annotation such as `float | Schedule`."""
    return [option for option in (typing.get_args(kind) or (kind,)) if isinstance(option, type)]
