"""Sweeps as their files record them: trials with settings and values, and how much each setting matters."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
from collections.abc import Iterable, Iterator

import attrs
import numpy as np

from agentlab.configuration import UNSET, Setting, setting_leaves
from agentlab.system import json_lines
from agentlab.system.files import UnreadableError

TRIALS = "trials.jsonl"
SEARCH = "search"  # the folder of a search's own runs, beside which are those of its best settings
DEEPEST = 3  # folders below one that is named, in which sweeps are looked for


@attrs.frozen
class TrialRecord:
    """A trial that has finished.

    Attributes:
        settings: by name, a list as its text.
        value: the mean score of its runs.
    """

    settings: dict[str, Setting]
    value: float


@attrs.frozen
class SweepRecord:
    """The trials of a sweep that have finished.

    Attributes:
        directory: of the sweep.
        trials: in their order.
    """

    directory: pathlib.Path
    trials: list[TrialRecord]

    def names(self) -> list[str]:
        """Returns the settings that differ between trials."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.settings)
        return [name for name in names if len(set(self.column(name))) > 1]

    def column(self, name: str) -> list[Setting]:
        """Returns a setting's value in each trial; UNSET where it had none."""
        return [trial.settings.get(name, UNSET) for trial in self.trials]

    def values(self) -> np.ndarray:
        """Returns the values `[n]` of the trials."""
        return np.array([trial.value for trial in self.trials], np.float64)

    def importances(self) -> dict[str, float]:
        """Returns the part of the values' variance, 0 to 1, that each setting explains by itself; the largest first.

        It is the correlation ratio of values in groups of equal settings, or of neighbouring ones where there are many, less
        what as many groups explain by chance (Kelley 1935, An unbiased correlation ratio measure).
        """
        parts = {name: explained(self.column(name), self.values()) for name in self.names()}
        return dict(sorted(parts.items(), key=lambda entry: -entry[1]))


def explained(settings: list[Setting], values: np.ndarray) -> float:
    """Returns the part of the variance of values `[n]` that groups of equal, or neighbouring, settings `[n]` explain."""
    # [n] numbers of groups, and how many values each has.
    groups = _groups(settings)
    total, counts = np.var(values), np.bincount(groups)
    num_groups, n = np.count_nonzero(counts), len(values)
    if total == 0 or n <= num_groups:
        return 0.0

    # The variance within groups, of means [groups].
    means = np.bincount(groups, values) / np.maximum(counts, 1)
    within = np.mean((values - means[groups]) ** 2)
    return float(max(0.0, 1 - within / total * (n - 1) / (n - num_groups)))


def _groups(settings: list[Setting]) -> np.ndarray:
    """Returns the number of each setting's group: one for each value, or some of about equal size of many numbers."""
    distinct = {setting: number for number, setting in enumerate(dict.fromkeys(settings))}
    most = max(2, math.isqrt(len(settings)))
    numeric = [isinstance(setting, int | float) and not isinstance(setting, bool) for setting in settings]
    if len(distinct) <= most or not any(numeric):
        return np.array([distinct[setting] for setting in settings])

    # Trials without the setting are a group of their own.
    numbers = np.array([float(setting) for setting, is_number in zip(settings, numeric, strict=True) if is_number])
    groups = np.full(len(settings), most)
    groups[numeric] = np.argsort(np.argsort(numbers, kind="stable"), kind="stable") * most // len(numbers)
    return groups


def read_sweeps(paths: Iterable[str | os.PathLike[str]]) -> list[SweepRecord]:
    """Returns the sweeps in directories, and some folders below them, of which at least two trials have finished."""
    directories: dict[pathlib.Path, None] = {}
    for path in map(pathlib.Path, paths):
        for folder, names, contents in os.walk(path):
            here = pathlib.Path(folder)
            if TRIALS in contents:
                directories[here] = None
            if TRIALS in contents or len(here.parts) - len(path.parts) >= DEEPEST:
                names.clear()

    # One trial is none to compare with.
    sweeps = [SweepRecord(directory, list(_trials(directory / TRIALS))) for directory in sorted(directories)]
    return [sweep for sweep in sweeps if len(sweep.trials) > 1]


def _trials(path: pathlib.Path) -> Iterator[TrialRecord]:
    """Yields the trials of a file that have finished; nothing of one that can't be read."""
    with contextlib.suppress(UnreadableError):
        for line in json_lines.read_lines(path):
            settings, value = line.get("settings"), line.get("value")
            if isinstance(settings, dict) and json_lines.is_number(value):
                yield TrialRecord(dict(setting_leaves(settings)), float(value))
