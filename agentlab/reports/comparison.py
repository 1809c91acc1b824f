"""Runs in groups of equal settings, and what the figures of each group come to."""

from __future__ import annotations

import statistics as medians
from collections.abc import Sequence

import attrs
import numpy as np

from agentlab import errors
from agentlab.configuration import UNSET, Setting
from agentlab.reports.recorded_runs import Collection, RecordedRun
from agentlab.reports.statistics import bootstrap_interval, interquartile_mean
from agentlab.system import files

SCORES = ("evaluation.bits_per_character", "evaluation.accuracy", "evaluation.return_mean")  # the first that all runs have
LOWER_IS_BETTER = ("bits_per_character", "loss", "error", "seconds")  # words of names of such figures
UNTOLD = {"threads", "checkpoint_period", "checkpoints_kept", "report_period"}  # settings that change no result
PACKAGE = ".package"


@attrs.frozen
class Row:
    """The figures of a group of runs.

    Attributes:
        task: of all its runs.
        settings: those that differ between groups.
        runs: that finished.
        scores: `[n]`, one of each run.
        mean: of the scores.
        interquartile_mean: of the scores.
        low: end of the interval of the interquartile mean, 95 % bootstrap.
        high: the other end.
        median: of the scores.
        best: of the scores.
        seconds: the median of the whole runs' seconds; None if they don't say.
    """

    task: str
    settings: dict[str, Setting]
    runs: list[RecordedRun]
    scores: list[float]
    mean: float
    interquartile_mean: float
    low: float
    high: float
    median: float
    best: float
    seconds: float | None

    @property
    def best_run(self) -> RecordedRun:
        """The run with the best score, the first of several."""
        return self.runs[self.scores.index(self.best)]

    @property
    def label(self) -> str:
        """The group's name: its task, and the settings that differ."""
        return ", ".join([self.task, *(f"{name}={setting_text(value)}" for name, value in self.settings.items())])


@attrs.frozen
class Comparison:
    """Groups of runs, compared by one figure.

    Attributes:
        score: the figure's name in result.json, such as "evaluation.return_mean".
        rows: one for each group, the best first within a task.
        left_out: by directory, why a run isn't in any group: its files are damaged, or hold no such figure.
        unfinished: by directory, why a run has no result: it is running, failed, was interrupted or killed.
    """

    score: str
    rows: list[Row]
    left_out: dict[str, str]
    unfinished: dict[str, str]

    @property
    def setting_names(self) -> list[str]:
        """The settings that differ between groups, each once."""
        return list(dict.fromkeys(name for row in self.rows for name in row.settings))

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller score is a better one."""
        return is_lower_better(self.score)


def setting_text(value: Setting) -> str:
    """Returns a setting as tables and pictures show it: numbers with six digits that count, of 17 that a search suggests."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def is_lower_better(score: str) -> bool:
    """Returns whether a smaller figure of this name is a better one."""
    return any(word in score for word in LOWER_IS_BETTER)


def compare(collection: Collection, score: str | None = None, group_by: Sequence[str] = ()) -> Comparison:
    """Groups runs by task and settings, and summarises the scores of each group.

    Args:
        collection: of runs.
        score: name of a number in result.json; by default that of the tasks: bits per character, accuracy or mean return.
        group_by: settings that make groups; by default all in which runs of one task differ.

    Raises:
        UsageError: no run has such a score, or no run has such a setting.
    """
    finished = [run for run in collection.runs if run.result is not None]
    if not finished:
        reasons = {**collection.problems, **{run.directory: run.unfinished() for run in collection.runs}}
        raise errors.UsageError(
            f"None of the runs has finished, so there is nothing to compare: "
            f"{files.some(f'{directory}: {reason}' for directory, reason in reasons.items())}. "
            "'agentlab resume RUN' finishes one that is not damaged."
        )
    score = _settled_score(finished, score)
    left_out = {str(directory): reason for directory, reason in collection.problems.items()}
    left_out |= {str(run.directory): f"result.json has no number {score!r}" for run in finished if run.figure(score) is None}
    unfinished = {str(run.directory): reason for run in collection.runs if (reason := run.unfinished())}
    scored = [run for run in finished if run.figure(score) is not None]
    _check_settings(scored, group_by)

    # Runs of different tasks or versions are never one group.
    groups: dict[tuple[str, tuple[tuple[str, Setting], ...]], list[RecordedRun]] = {}
    names = {
        task: list(group_by) or _differing([run for run in scored if run.task == task]) for task in {r.task for r in scored}
    }
    several_versions = len({run.version for run in scored}) > 1
    for run in scored:
        values = tuple((name, run.settings.get(name, UNSET)) for name in names[run.task])
        version = (("agentlab", run.version),) if several_versions else ()
        groups.setdefault((run.task, (*values, *version)), []).append(run)

    # The best group of each task first.
    sign = 1 if is_lower_better(score) else -1
    rows = [_row(score, task, dict(settings), runs) for (task, settings), runs in groups.items()]
    return Comparison(
        score, sorted(rows, key=lambda row: (row.task, sign * row.interquartile_mean, row.label)), left_out, unfinished
    )


def _settled_score(runs: list[RecordedRun], score: str | None) -> str:
    if score is None:
        common = [name for name in SCORES if all(run.figure(name) is not None for run in runs)]
        score = common[0] if common else SCORES[-1]
    if all(run.figure(score) is None for run in runs):
        figures = sorted({name for run in runs for name in run.figures()})
        raise errors.UsageError(errors.unknown("figure", score, figures, "Numbers in result.json"))
    return score


def _check_settings(runs: list[RecordedRun], names: Sequence[str]) -> None:
    known = sorted({setting for run in runs for setting in run.settings})
    for name in names:
        if name not in known:
            raise errors.UsageError(errors.unknown("setting", name, known, "Settings of the runs"))


def _differing(runs: list[RecordedRun]) -> list[str]:
    """Returns the settings in which runs of one task differ, in the order of the first run that has them."""
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in UNTOLD and not name.endswith(PACKAGE))
    return [name for name in names if len({run.settings.get(name, UNSET) for run in runs}) > 1]


def _row(score: str, task: str, settings: dict[str, Setting], runs: list[RecordedRun]) -> Row:
    scores = [value for run in runs if (value := run.figure(score)) is not None]
    seconds = [value for run in runs if (value := run.figure("seconds.total")) is not None]
    low, high = bootstrap_interval(scores)
    return Row(
        task=task,
        settings=settings,
        runs=runs,
        scores=scores,
        mean=float(np.mean(scores)),
        interquartile_mean=float(interquartile_mean(scores)),
        low=low,
        high=high,
        median=float(np.median(scores)),
        best=min(scores) if is_lower_better(score) else max(scores),
        seconds=medians.median(seconds) if seconds else None,
    )
