"""The Tracker contract: what follows a run from outside, such as a file of metrics, a progress bar or a service."""

from __future__ import annotations

import abc
import math
import pathlib
from typing import Any, ClassVar

import attrs
import numpy as np

Metrics = dict[str, Any]  # a line: numbers by name, None where there is none


@attrs.frozen(eq=False)
class Histogram:
    """How often values are in each of K intervals.

    Attributes:
        edges: `[K + 1]` float64, of the intervals.
        counts: `[K]` int64, of the values in each.
    """

    edges: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, num_intervals: int = 30) -> Histogram:
        """Returns the histogram of the finite ones among some values."""
        counts, edges = np.histogram(values[np.isfinite(values)].astype(np.float64), num_intervals)
        return cls(edges, counts)


Media = str | np.ndarray | Histogram


def grouped(metrics: Metrics) -> dict[str, float]:
    """Returns the finite numbers of a line in groups, as services show them: "train/loss", "evaluation/return_mean", ...

    Times are in the group "time"; a changed setting, whose name has a dot, in "settings". The step is left out: it is the axis.

    >>> grouped({"step": 100, "loss": 0.5, "evaluation_return_mean": 9.0, "seconds": 2.5, "return_mean": None})
    {'train/loss': 0.5, 'evaluation/return_mean': 9.0, 'time/seconds': 2.5}
    """
    numbers = {name: value for name, value in metrics.items() if name != "step" and _is_finite(value)}
    return {_tag(name): float(value) for name, value in numbers.items()}


def _tag(name: str) -> str:
    if name.startswith("evaluation_"):
        return f"evaluation/{name.removeprefix('evaluation_')}"
    if name == "seconds" or name.endswith(("_seconds", "_per_second")):
        return f"time/{name}"
    return f"settings/{name}" if "." in name else f"train/{name}"


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class RunControl(abc.ABC):
    """What a tracker, or a program of your own, can change in a run under way."""

    @abc.abstractmethod
    def change(self, name: str, value: float) -> None:
        """Changes a live setting.

        The value is checked at once. It takes effect where the run next stops to report or to save: a change made in
        `Tracker.line`, or between two lines, holds from the very next step, and gives the same bits whenever it is made again.

        Args:
            name: of the part and the setting, such as "trainer.learning_rate".
            value: the new value, which takes the place of a schedule too.

        Raises:
            UsageError: the setting is not live, or the value is not one of its values.
        """

    @abc.abstractmethod
    def finish(self) -> None:
        """Ends training at the next step where that changes no number, with checkpoint, evaluation and result."""


class NoControl(RunControl):
    """Does nothing, where there is no run, as in a tracker's tests."""

    def change(self, name: str, value: float) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""


@attrs.frozen(eq=False)
class TrackedRun:
    """The run that a tracker follows.

    Attributes:
        config: the content of config.json: `task`, `seed`, `spec`, `versions` and others.
        directory: of the run's files.
        total_steps: the budget in environment steps.
        step: from which the run goes on; 0 at its beginning. A run that was killed goes on from its newest checkpoint, so that
            lines of this step and later ones may have been passed before; they come again, with the same numbers.
        state: what `Tracker.state` returned for the checkpoint of this step; empty at the beginning.
        control: changes live settings, and ends the training.
        headline: the metric of a line that users of such tasks know best, as the trainer says.
    """

    config: dict[str, Any]
    directory: pathlib.Path
    total_steps: int
    step: int = 0
    state: dict[str, Any] = attrs.field(factory=dict)
    control: RunControl = attrs.field(factory=NoControl)
    headline: str = "return_mean"


class Tracker(abc.ABC):
    """Follows a run: gets its metrics, checkpoints, media and result, all in the thread that trains.

    Whatever a tracker raises is reported once, as a warning, and the tracker gets nothing more; the run continues to the same
    bits as without it. What it gets is its own copy.

    Attributes:
        time_limit: seconds that one call may take; one that takes longer is interrupted and counts as failed.
    """

    time_limit: ClassVar[float] = 60.0

    def begin(self, run: TrackedRun) -> None:  # noqa: B027 - a tracker without a record needs no beginning
        """Starts to follow a run, before its first step or when it is resumed. By default does nothing."""

    @abc.abstractmethod
    def line(self, metrics: Metrics) -> None:
        """Takes the metrics of one report.

        Args:
            metrics: `step`, `update` and others by name: numbers, or None for what there is no number of, such as the mean
                return where no episode has ended.
        """

    def change(self, metrics: Metrics) -> None:
        """Takes a change of a live setting; by default as a `line`.

        Args:
            metrics: `step`, `update`, and the new value by the setting's name, such as "trainer.learning_rate".
        """
        self.line(metrics)

    def checkpoint(self, path: pathlib.Path) -> None:  # noqa: B027
        """Takes the directory `step-N` of a checkpoint, once it is on disk; the run removes old ones later on."""

    def media(self, name: str, content: Media, step: int) -> None:  # noqa: B027
        """Takes media: a text, frames `[T, height, width, 3]` uint8, or a `Histogram`, if the task asks for those."""

    def state(self) -> dict[str, Any]:
        """Returns what `begin` needs to continue from here, such as the id of a service's run, as JSON can hold it.

        It is asked for at every checkpoint, and saved in it.
        """
        return {}

    def end(self, result: dict[str, Any] | None) -> None:  # noqa: B027
        """Ends: releases what is open. The run may be resumed later, by another process.

        Args:
            result: the content of result.json, or None if the run ended without, such as by Ctrl-C.
        """
