"""What a search improves: a figure of result.json, the area under a learning curve, or the steps to a threshold."""

from __future__ import annotations

import pathlib
from typing import Literal, TypeAlias

import attrs
import numpy as np

from agentlab import errors
from agentlab.reports.comparison import is_lower_better
from agentlab.reports.recorded_runs import RecordedRun
from agentlab.sweeps.tables import Table
from agentlab.system.files import UnreadableError
from agentlab.task import Task

DEFAULT = "evaluation.return_mean"
EVALUATION = "evaluation"
TABLES = (EVALUATION, "seconds", "best")  # of result.json
FIGURES = (  # that every result.json has; a trainer's score adds to those of the evaluation
    "steps", "updates", "seconds.train", "seconds.total", "evaluation.return_mean", "evaluation.return_std",
    "evaluation.episode_length_mean",
)  # fmt: skip
Direction: TypeAlias = Literal["maximize", "minimize"]
DIRECTIONS: tuple[Direction, Direction] = ("maximize", "minimize")


@attrs.frozen
class Objective:
    """What a run comes to, as one number.

    Attributes:
        figure: a number of result.json; empty for one of a learning curve.
        curve: a column of metrics.jsonl, such as "return_mean".
        threshold: of the curve, whose first step is the number; None for the curve's mean height.
        direction: "maximize" or "minimize".
    """

    figure: str = ""
    curve: str = ""
    threshold: float | None = None
    direction: Direction = "maximize"

    @classmethod
    def parse(cls, data: object, direction: str | None) -> Objective:
        """Returns what a sweep file says: the name of a figure, `{area = CURVE}` or `{steps_to = 475.0, of = CURVE}`.

        Raises:
            UsageError: it says something else.
        """
        named = next((known for known in DIRECTIONS if known == direction), None)
        if direction is not None and named is None:
            raise errors.UsageError(f"search.direction is {direction!r}; expected maximize or minimize.")

        # The name alone is a figure's.
        if isinstance(data, str):
            natural = DIRECTIONS[is_lower_better(data)]
            return cls(figure=data, direction=named or natural)
        if not isinstance(data, dict):
            raise errors.UsageError(
                f"search.objective is {errors.quoted(data)}; expected the name of a number in result.json, {{area = "
                '"return_mean"} or {steps_to = 475.0, of = "return_mean"}.'
            )
        if "area" in data:
            curve = Table(data, "search.objective.", ("area",)).entry("area", str)
            return cls(curve=curve, direction=named or DIRECTIONS[is_lower_better(curve)])
        table = Table(data, "search.objective.", ("steps_to", "of"))
        if named == "maximize":
            raise errors.UsageError("search.direction is 'maximize', but fewer steps to a threshold are better; leave it out.")
        return cls(curve=table.entry("of", str, "return_mean"), threshold=table.entry("steps_to", float), direction="minimize")

    def value(self, run: RecordedRun) -> float:
        """Returns the number of a finished run.

        Raises:
            UsageError: the run has no such figure or curve.
        """
        if self.figure:
            value = run.figure(self.figure)
            if value is None:
                raise errors.UsageError(errors.unknown("figure", self.figure, run.figures(), "Numbers in result.json"))
            return value

        # Steps [T] and values [T] of the learning curve, and its mean height by the trapezoidal rule.
        steps, values = self._curve(run)
        if self.threshold is None:
            return float(np.trapezoid(values, steps) / (steps[-1] - steps[0])) if len(steps) > 1 else float(values[0])

        # A run that never reaches the threshold counts as its whole budget.
        reached = values <= self.threshold if is_lower_better(self.curve) else values >= self.threshold
        return float(steps[reached.argmax()] if reached.any() else run.figure("steps") or steps[-1])

    @property
    def metric(self) -> str:
        """The column or number that every run has to have."""
        return self.figure or self.curve

    def check(self, task: Task) -> None:
        """Raises UsageError if no run of a task can have such a figure or curve, whatever its parts report.

        What they report is known once they are built, so a run itself refuses to begin without it, see `metric`.
        """
        if self.figure:
            table, _, name = self.figure.partition(".")
            if self.figure not in FIGURES and not (name and table in TABLES):
                raise errors.UsageError(errors.unknown("figure", self.figure, FIGURES, "Numbers in result.json"))
        elif self.curve in FIGURES or self.curve.startswith(tuple(f"{table}." for table in TABLES)):
            raise errors.UsageError(
                f"No curve named {self.curve!r}: that is a number in result.json, at the end of a run. Name a column of "
                f'metrics.jsonl, such as "return_mean", or write objective = "{self.curve}".'
            )
        elif self.curve.startswith(f"{EVALUATION}_") and not task.evaluation.period:
            raise errors.UsageError(
                f"Column {self.curve!r} of metrics.jsonl has no numbers, since the task makes no evaluations during training. "
                "Set evaluation.period, or name another column."
            )

    def reports(self, directory: pathlib.Path) -> list[tuple[int, float]]:
        """Returns steps and values by which a run under way is compared with others; empty before the first report."""
        for column in self._columns():
            steps, values = RecordedRun.curve_of(directory, column)
            if len(steps):
                return [(int(step), float(value)) for step, value in zip(steps, values, strict=True)]
        return []

    def _columns(self) -> tuple[str, ...]:
        if self.curve:
            return (self.curve,)
        name = self.figure.rpartition(".")[2]
        return (f"evaluation_{name}", name)

    def _curve(self, run: RecordedRun) -> tuple[np.ndarray, np.ndarray]:
        try:
            steps, values = run.curve(self.curve)
        except UnreadableError as error:
            raise errors.UsageError(f"The metrics of {str(run.directory)!r} can't be used: {error}.") from error
        if not len(steps):
            raise errors.UsageError(errors.unknown("curve", self.curve, run.columns(), "Columns of metrics.jsonl"))
        return steps, values

    def __str__(self) -> str:
        if self.figure:
            return self.figure
        return f"area under {self.curve}" if self.threshold is None else f"steps to {self.curve} {self.threshold:g}"
