"""Runs as their files record them: config.json, result.json and metrics.jsonl, read without building anything."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import attrs
import numpy as np

from agentlab import errors
from agentlab.configuration import Setting, task_settings
from agentlab.reports.searches import SEARCH, TRIALS
from agentlab.runs.files.provenance import Provenance
from agentlab.runs.files.run_directory import CONFIG, MEDIA, METRICS, RESULT
from agentlab.system import files, json_lines
from agentlab.system.files import UnreadableError

MOST_RUNS = 10_000
DEEPEST = 6  # folders below one that is named, in which runs are looked for
MEDIA_NAME = re.compile(r"(?P<name>[\w.-]{1,100})-(?P<step>\d{1,18})\.(png|txt)")
MOST_SAMPLES = 2**53  # of a class: as many as float64 counts
UNFINISHED = {  # by status, a clause about a run without a result
    "running": "it is running",
    "interrupted": "it was interrupted, and can be resumed",
    "failed": "it failed: {error}",
    "killed": "its process was killed, and it can be resumed",
    "finished": "its result.json is gone",
}

Curve: TypeAlias = tuple[np.ndarray, np.ndarray]


@attrs.frozen
class MediaFile:
    """A picture or a text of a run.

    Attributes:
        name: what it is of, such as "evaluation_episode".
        step: at which it was made.
        path: of the file.
    """

    name: str
    step: int
    path: pathlib.Path

    @property
    def is_text(self) -> bool:
        """Whether it is a text."""
        return self.path.suffix == ".txt"


@attrs.frozen
class RecordedRun:
    """What the files of a run say.

    Attributes:
        directory: of the run.
        task: its name.
        seed: of all its randomness.
        version: of agentlab, that began it.
        settings: the values of all settings by name, such as "trainer.learning_rate".
        result: the content of result.json; None if the run has not finished.
        provenance: its status and tags, and where it was made.
    """

    directory: pathlib.Path
    task: str
    seed: int
    version: str
    settings: dict[str, Setting]
    result: dict[str, Any] | None
    provenance: Provenance

    @classmethod
    def read(cls, directory: pathlib.Path) -> RecordedRun:
        """Returns the run in a directory.

        Raises:
            UnreadableError: a file of it can't be read.
        """
        config = files.read_json(directory / CONFIG)
        task, seed, versions = config.get("task"), config.get("seed"), config.get("versions")
        if not isinstance(task, dict) or not isinstance(task.get("name"), str) or type(seed) is not int:
            raise UnreadableError(f"{CONFIG} doesn't say the task and the seed of a run")
        result = files.read_json(directory / RESULT) if os.path.lexists(directory / RESULT) else None
        version = versions.get("agentlab") if isinstance(versions, dict) else None
        origin = Provenance.read(directory)
        return cls(directory, task["name"], seed, str(version or "unknown"), task_settings(config), result, origin)

    def unfinished(self) -> str:
        """Returns why there is no result, as a clause; empty if there is one."""
        if self.result is not None:
            return ""
        return UNFINISHED[self.provenance.status].format(error=self.provenance.error.rstrip("."))

    def figure(self, name: str) -> float | None:
        """Returns a number of result.json, such as "evaluation.return_mean"; None if it holds no such number."""
        value: Any = self.result
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if json_lines.is_number(value) else None

    def figures(self) -> list[str]:
        """Returns the names of all numbers in result.json."""
        result = self.result or {}
        nested = [f"{name}.{key}" for name, value in result.items() if isinstance(value, dict) for key in value]
        return [name for name in [*result, *nested] if self.figure(name) is not None]

    def curve(self, column: str) -> Curve:
        """Returns steps `[T]` and values `[T]` of a column of metrics.jsonl, of the lines that have a number there.

        Raises:
            UnreadableError: the file can't be read.
        """
        return self.curve_of(self.directory, column)

    @staticmethod
    def curve_of(directory: pathlib.Path, column: str) -> Curve:
        """Returns the curve of the run in a directory, which may have just begun; see `curve`."""
        points = [(line.get("step"), line.get(column)) for line in _lines_of(directory)]
        numbers = [pair for pair in points if all(map(json_lines.is_number, pair))]
        steps, values = np.array(numbers, np.float64).reshape(-1, 2).T
        return steps, values

    @staticmethod
    def lines_of(directory: pathlib.Path) -> list[dict[str, Any]]:
        """Returns the lines of metrics.jsonl of the run in a directory, which may have just begun.

        Raises:
            UnreadableError: the file can't be read.
        """
        return list(_lines_of(directory))

    def media(self) -> list[MediaFile]:
        """Returns the newest picture or text of each name."""
        newest: dict[str, MediaFile] = {}
        folder = self.directory / MEDIA
        for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ():
            match = MEDIA_NAME.fullmatch(path.name)
            if match and int(match["step"]) >= (newest[match["name"]].step if match["name"] in newest else 0):
                newest[match["name"]] = MediaFile(match["name"], int(match["step"]), path)
        return list(newest.values())

    def confusion(self) -> np.ndarray | None:
        """Returns the confusion matrix `[K, K]` of the evaluation: of each class, how often each answer was given; or None."""
        evaluation = self.result.get("evaluation") if self.result is not None else None
        matrix = evaluation.get("confusion_matrix") if isinstance(evaluation, dict) else None
        rows = matrix if isinstance(matrix, list) and matrix else [None]
        is_square = all(isinstance(row, list) and len(row) == len(rows) and all(map(_is_count, row)) for row in rows)
        return np.array(rows, np.int64) if is_square else None

    def columns(self) -> list[str]:
        """Returns the names of all columns of metrics.jsonl that have a number somewhere."""
        lines = _lines_of(self.directory)
        return sorted({name for line in lines for name, value in line.items() if json_lines.is_number(value)})


@attrs.frozen
class Collection:
    """Runs that were looked for in folders.

    Attributes:
        runs: those that could be read, in the order of their directories.
        problems: by directory, why another one is left out.
    """

    runs: list[RecordedRun]
    problems: dict[pathlib.Path, str]


def collect(paths: Iterable[str | os.PathLike[str]], tags: Iterable[str] = ()) -> Collection:
    """Returns the runs in directories, and in the folders below them.

    Args:
        paths: of directories.
        tags: that a run must have, all of them.

    Raises:
        UsageError: a directory does not exist, or there is no run in any, or none with these tags, or there are too many.
    """
    directories: dict[pathlib.Path, None] = {}
    for path in map(pathlib.Path, paths):
        if not path.is_dir():
            raise errors.UsageError(f"{str(path)!r} is no directory. Name a run's directory, or a folder of runs such as runs.")
        directories.update(dict.fromkeys(sorted(_runs_below(path))))
    if not directories:
        raise errors.UsageError(
            f"No directory with a {CONFIG} in {', '.join(repr(str(path)) for path in paths)}: no runs there."
        )
    if len(directories) > MOST_RUNS:
        raise errors.UsageError(f"There are {len(directories):,} runs; expected at most {MOST_RUNS:,}. Name fewer folders.")

    # What is damaged or half written is named, and left out.
    collection = Collection([], {})
    for directory in directories:
        try:
            collection.runs.append(RecordedRun.read(directory))
        except UnreadableError as error:
            collection.problems[directory] = str(error)
    return _tagged(collection, set(tags))


def _tagged(collection: Collection, tags: set[str]) -> Collection:
    if not tags or not collection.runs:
        return collection
    runs = [run for run in collection.runs if tags <= set(run.provenance.tags)]
    if not runs:
        known = sorted({tag for run in collection.runs for tag in run.provenance.tags})
        raise errors.UsageError(
            f"No run has the tags {', '.join(sorted(map(repr, tags)))}. Tags of the runs: {', '.join(known) or 'none'}."
        )
    return attrs.evolve(collection, runs=runs)


def _runs_below(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Returns the directories with a config, at most `DEEPEST` folders down; links are not followed there.

    The runs of a search are left out: the best of them is best by luck too. It was run again with fresh seeds.
    """
    depth = len(path.parts)
    for folder, names, contents in os.walk(path):
        here = pathlib.Path(folder)
        if CONFIG in contents:
            yield here
        if TRIALS in contents and SEARCH in names:
            names.remove(SEARCH)
        if CONFIG in contents or len(here.parts) - depth >= DEEPEST:
            names.clear()


def _lines_of(directory: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Returns the lines of a run's metrics.jsonl; none if there is no such file."""
    path = directory / METRICS
    return json_lines.read_lines(path) if os.path.lexists(path) else iter(())


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < MOST_SAMPLES
