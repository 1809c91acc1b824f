"""Live settings: those of a part that may be changed during training, because the loop reads them from variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import tensorflow as tf

from agentlab import errors, schedules, settings
from agentlab.schedules import Schedule

Part = TypeVar("Part")
Assign = Callable[[str, Any], None]


@attrs.frozen(eq=False)
class LiveSchedule(Schedule):
    """A schedule that a number can take the place of during training.

    Attributes:
        original: what counts until then.
        override: float32 scalar variable: the number, or nan where there is none yet.
    """

    original: Schedule
    override: tf.Variable = attrs.field(factory=lambda: tf.Variable(float("nan"), trainable=False, name="live"))

    def __call__(self, count: Any) -> Any:
        number = self.override.read_value()
        return tf.where(tf.math.is_nan(number), self.original(count), number)

    def spanning(self, total: int) -> LiveSchedule:
        return LiveSchedule(self.original.spanning(total), self.override)


class LiveSettings:
    """The live settings of a run's parts, by "PART.SETTING", such as "trainer.learning_rate".

    Attributes:
        changed: the value of each that was changed, by name.
    """

    def __init__(self) -> None:
        self.changed: dict[str, float] = {}
        self._fields: dict[str, attrs.Attribute] = {}
        self._kinds: dict[str, Any] = {}
        self._assigns: dict[str, Assign] = {}
        self._all: dict[str, list[str]] = {}

    def add(self, name: str, part: Any, assign: Assign | None = None) -> None:
        """Has the live settings of a part be read from variables from now on, which its attributes then hold.

        A setting that may be a schedule becomes a `LiveSchedule`, another one a variable: float32, or int64 for whole numbers.

        Args:
            name: of the part, such as "trainer".
            part: not traced yet.
            assign: takes a setting's name and its new value, for a part that isn't traced and keeps plain numbers.
        """
        described = {setting.name: setting for setting in settings.describe(type(part))}
        self._all[name] = list(described)
        for field in _live_fields(part):
            path, value = f"{name}.{field.alias}", getattr(part, field.name)
            self._fields[path], self._kinds[path] = field, described[field.alias].type
            self._assigns[path] = assign or _made_variable(part, field, value, self._kinds[path])
