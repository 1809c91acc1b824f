"""A search space: what each setting may be, and when it matters."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import attrs

from agentlab import errors
from agentlab.sweeps.tables import Table

if TYPE_CHECKING:
    import optuna

KEYS = ("choices", "low", "high", "log", "step", "when")


@attrs.frozen
class Dimension:
    """A setting that is searched.

    Attributes:
        name: of the setting, such as "trainer.learning_rate".
        choices: its values; empty for a range.
        low: end of a range.
        high: the other end, included.
        log: whether the range is searched by its logarithm.
        step: between two values of a range; None for all values.
        when: values that other settings must have for this one to be searched, by name.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    when: dict[str, Any] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, name: str, data: object) -> Dimension:
        """Returns what a sweep file says of a setting: a list of choices, or a table.

        Raises:
            UsageError: it says nothing that can be searched.
        """
        where = f"search.space.{name}"
        data = {"choices": data} if isinstance(data, list) else data
        if not isinstance(data, dict):
            raise errors.UsageError(
                f"{where} is {errors.quoted(data)}; expected a list of choices, or a table such as {{low = 1e-4, high = 1e-2, "
                "log = true}."
            )

        # Choices or a range, each maybe under a condition.
        table = Table(data, f"{where}.", KEYS)
        when = table.entry("when", dict, {})
        if "choices" in data:
            return cls(name, _choices(table, data), when=when)
        return _range(table, data, name, when)

    def matters(self, settings: dict[str, Any]) -> bool:
        """Returns whether the setting is searched, given those before it."""
        return all(name in settings and settings[name] == value for name, value in self.when.items())

    def suggest(self, trial: optuna.Trial) -> Any:
        """Returns the value that a trial of Optuna's suggests; it suggests the same when it is asked again."""
        if self.choices:
            return self.value(trial.suggest_categorical(self.name, [json.dumps(choice) for choice in self.choices]))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def value(self, suggested: Any) -> Any:
        """Returns the setting's value for what Optuna stores: of choices, their JSON text."""
        return json.loads(suggested) if self.choices else suggested


def _choices(table: Table, data: dict[str, Any]) -> tuple[Any, ...]:
    choices = table.entry("choices", list)
    if not choices or {"low", "high", "log", "step"} & data.keys():
        raise table.wrong("choices", "a list of at least one value, without low, high, log and step")
    if len({json.dumps(choice) for choice in choices}) < len(choices):
        raise table.wrong("choices", "values that differ")
    return tuple(choices)


def _range(table: Table, data: dict[str, Any], name: str, when: dict[str, Any]) -> Dimension:
    is_whole = type(data.get("low")) is type(data.get("high")) is int
    kind = int if is_whole else float
    low, high, log, step = table.entry("low", kind), table.entry("high", kind), table.entry("log", bool, False), None
    if "step" in data:
        step = table.entry("step", kind)

    # What can't be drawn from is refused.
    if low > high:
        raise table.wrong("high", f"at least low, which is {low}: the range is empty")
    if log and low <= 0:
        raise table.wrong("low", "more than 0, since log is true")
    if step is not None and (step <= 0 or log):
        raise table.wrong("step", "more than 0, and no log")
    if math.isinf(high - low):
        raise table.wrong("high", "a range that float64 can hold")
    return Dimension(name, low=low, high=high, log=log, step=step, when=when)


def parse_space(data: dict[str, Any]) -> tuple[Dimension, ...]:
    """Returns the settings of a search space, in the order in which they are suggested.

    Raises:
        UsageError: there are none, one is wrong, or a condition is of a setting that doesn't come before it.
    """
    space = tuple(Dimension.parse(name, entry) for name, entry in data.items())
    if not space:
        raise errors.UsageError(
            'search.space is empty; expected settings to search, such as "trainer.learning_rate" = {low = 1e-4, high = 1e-2}.'
        )

    # Optuna suggests one setting after the other, so conditions look back only.
    before: dict[str, Dimension] = {}
    for dimension in space:
        for name, value in dimension.when.items():
            if name not in before:
                raise errors.UsageError(
                    f"search.space.{dimension.name}.when names {name!r}, which is not a setting above it in the space."
                )
            if before[name].choices and value not in before[name].choices:
                raise errors.UsageError(
                    f"search.space.{dimension.name}.when expects {name} to be {errors.quoted(value)}, which is not among its "
                    f"choices: {', '.join(map(errors.quoted, before[name].choices))}."
                )
        before[dimension.name] = dimension
    return space
