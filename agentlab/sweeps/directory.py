"""A sweep's directory: sweep.toml, trials.jsonl, and the runs."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from agentlab import configuration, errors
from agentlab.checks import limits
from agentlab.reports.searches import TRIALS
from agentlab.sweeps.definition import DEFAULT_STORAGE
from agentlab.sweeps.toml_text import toml_text
from agentlab.system import files
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder
from agentlab.system.lock import DirectoryLock

DEFINITION = "sweep.toml"
SETTINGS = "settings.toml"
JOURNAL = "study.journal"  # of a search, unless it has another storage
RUNS, BEST = "runs", "best"  # folders of runs: of a grid, and of the best settings of a search


@attrs.define
class Trial:
    """Settings, and what their runs come to.

    Attributes:
        number: of the trial, from 0.
        settings: by name, such as "trainer.learning_rate".
        status: "waiting", "finished", "failed" or "pruned".
        value: the mean of its scores; None unless it has finished.
        scores: by seed.
        error: of the first run that failed; else empty.
    """

    number: int
    settings: dict[str, Any]
    status: str = "waiting"
    value: float | None = None
    scores: dict[int, float] = attrs.field(factory=dict)
    error: str = ""

    def as_data(self) -> dict[str, Any]:
        """Returns the trial as a line of trials.jsonl."""
        scores = {str(seed): self.scores[seed] for seed in sorted(self.scores)}
        line = {"trial": self.number, "settings": self.settings, "status": self.status, "value": self.value, "scores": scores}
        return {**line, **({"error": self.error} if self.error else {})}


class SweepDirectory:
    """The directory of a sweep, locked until it is closed.

    Args:
        path: of the directory, which is made if there is none.
        data: the content of the sweep's file.
        text: of the file; None writes it from the data.

    Raises:
        UsageError: another process holds it, it holds another sweep or something else, or it can't be written.
    """

    def __init__(self, path: pathlib.Path, data: dict[str, Any], text: str | None = None) -> None:
        limits.check_path(path)

        # Locked before anything is read or written.
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.folder = Folder.open(path)
            self._lock = DirectoryLock(self.folder)
        except (OSError, UnreadableError) as error:
            raise errors.UsageError(
                f"Sweep directory {str(path)!r} can't be used: {getattr(error, 'strerror', None) or error}. Name another with "
                "--sweep-dir DIR."
            ) from error
        self.path = path.absolute()
        try:
            self._begin(data, text)
        except BaseException:
            self.close()
            raise

    def _begin(self, data: dict[str, Any], text: str | None) -> None:
        """Writes sweep.toml, or compares it with the one that is there."""
        if self.folder.has(DEFINITION):
            before = read_definition(self.path / DEFINITION)[0]
            if before == data:
                return
            if not self._can_change(before):
                names = sorted(name for name in before.keys() | data.keys() if before.get(name) != data.get(name))
                raise errors.UsageError(
                    f"{str(self.path)!r} holds another sweep, with different settings: {files.some(names)}. Name another "
                    f"directory with --sweep-dir DIR, or resume that one: agentlab sweep {self.path}."
                )
        elif set(self.folder.names()) - {".lock", f".{DEFINITION}"}:
            raise errors.UsageError(f"{str(self.path)!r} exists and is not a sweep. Name another with --sweep-dir DIR.")

        # What is left of another one, with which no run could begin: its trials, and their study.
        for name in (TRIALS, JOURNAL):
            if self.folder.has(name):
                self.folder.remove(name)
        self._write(DEFINITION, (toml_text(data) if text is None else text).encode("utf-8"))

    def _can_change(self, before: dict[str, Any]) -> bool:
        """Whether the sweep can still become another: no run has begun, and no study that is elsewhere knows its trials."""
        search = before.get("search")
        has_study_elsewhere = isinstance(search, dict) and search.get("storage", DEFAULT_STORAGE) != DEFAULT_STORAGE
        return not has_study_elsewhere and not any(self.path.glob("*/*/*/"))

    def write_trials(self, trials: Iterable[Trial]) -> None:
        """Writes trials.jsonl, a line for each trial."""
        lines = [files.json_bytes(files.with_nulls(trial.as_data()), TRIALS, indent=None) for trial in trials]
        self._write(TRIALS, b"".join(lines))

    def write_settings(self, place: pathlib.Path, changes: dict[str, Any]) -> pathlib.Path:
        """Writes the changes of a trial beside its runs, as `agentlab run --config` takes them; returns the file."""
        file, text = place / SETTINGS, toml_text(changes)
        with _writing(file):
            place.mkdir(parents=True, exist_ok=True)
            if not file.is_file() or file.read_text("utf-8") != text:
                Folder.open(place).replace(SETTINGS, [text.encode("utf-8")]).close()
        return file

    def _write(self, name: str, content: bytes) -> None:
        with _writing(self.path / name):
            self.folder.replace(name, [content]).close()

    def close(self) -> None:
        """Releases the directory for others."""
        self._lock.release()


@contextlib.contextmanager
def _writing(file: pathlib.Path) -> Iterator[None]:
    """Turns errors in writing a sweep's file into a WriteFault."""
    try:
        yield
    except (OSError, files.UnwritableError) as error:
        raise errors.WriteFault(
            f"{str(file)!r} can't be written: {getattr(error, 'strerror', None) or error}. Make room or fix the disk; the same "
            "command then resumes the sweep."
        ) from error


def read_definition(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """Returns the tables of a sweep's file, and its text.

    Raises:
        UsageError: it can't be read, or is no TOML.
    """
    limits.check_path(path)
    return configuration.read_toml(pathlib.Path(path), "Sweep file")
