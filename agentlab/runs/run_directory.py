"""The files a run leaves: config.json, metrics.jsonl, result.json, TensorBoard's events, and where its checkpoints are."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from agentlab import errors
from agentlab.runs.checkpoints import Checkpoints
from agentlab.spec import EnvironmentSpec
from agentlab.system import files
from agentlab.system.lock import DirectoryLock
from agentlab.task import Task

CONFIG = "config.json"
METRICS = "metrics.jsonl"
RESULT = "result.json"


class RunDirectory:
    """A run's directory, held under its lock until it is closed.

    Args:
        path: exists.
        metrics: metrics.jsonl, open for writing at its end.
        lock: of the directory.
    """

    def __init__(self, path: pathlib.Path, metrics: BinaryIO, lock: DirectoryLock) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self._metrics = metrics
        self._lock = lock
        self._events: Any = None
        self._first_step = 0

    @classmethod
    def create(cls, path: str | os.PathLike[str] | None, task: Task, seed: int) -> RunDirectory:
        """Makes a new directory; None takes the first free of `runs/TASK/SEED-1`, `SEED-2`, ...

        Raises:
            UsageError: `path` exists, or cannot be written.
        """
        try:
            made = _created(pathlib.Path(path)) if path is not None else _next_free(pathlib.Path("runs") / task.name, seed)
            return cls(made, (made / METRICS).open("wb"), DirectoryLock(made))
        except FileExistsError as error:
            raise errors.UsageError(
                f"Run directory {str(path)!r} exists; runs are never overwritten: name another, or 'agentlab resume' it."
            ) from error
        except OSError as error:
            where = str(path or f"runs/{task.name}")
            raise errors.UsageError(
                f"Run directory {where!r} can't be written: {error.strerror}. Name another with --run-dir DIR."
            ) from error

    @classmethod
    def open(cls, path: pathlib.Path) -> RunDirectory:
        """Opens a run's directory to go on with the run.

        Raises:
            UsageError: another process holds it, or it cannot be written.
        """
        lock = None
        try:
            lock = DirectoryLock(path)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            found = cls(path, os.fdopen(os.open(path / METRICS, flags, 0o644), "r+b"), lock)
        except OSError as error:
            if lock is not None:
                lock.release()
            raise errors.UsageError(
                f"Run directory {str(path)!r} can't be written: {error.strerror}. Mend its permissions or copy it."
            ) from error
        found._metrics.seek(0, os.SEEK_END)
        return found

    def write_config(self, task: Task, seed: int, spec: EnvironmentSpec, inexact: str, told: dict[str, Any]) -> None:
        """Writes all that it takes to run the task again, or to use its agent without the environment, and on what it ran.

        Args:
            task: as it is run.
            seed: of the run.
            spec: of the environment.
            inexact: why it can't be resumed to the same bits; empty if it can.
            told: of the machine, as by `machine.facts`.
        """
        about = {"task": task.as_data(), "seed": seed, "spec": spec.as_data(), "inexact": inexact}
        with self._writing(CONFIG):
            files.write_json(self.path / CONFIG, {**about, **told})

    def write_metrics(self, line: dict[str, Any]) -> None:
        """Appends one report's metrics to metrics.jsonl and TensorBoard's events."""
        with self._writing(METRICS):
            self._metrics.write((json.dumps(line) + "\n").encode())
            self._metrics.flush()
        with self._writing("events"):
            if self._events is None:
                self._events = _EventFile(self.path / "events", self._first_step)
            self._events.write(line["step"], line)

    def sync_metrics(self) -> None:
        """Puts on disk what metrics.jsonl holds by now; another thread may be writing to it."""
        with self._writing(METRICS):
            os.fsync(self._metrics.fileno())

    def rewind(self, metrics_bytes: int, step: int) -> None:
        """Forgets the metrics after the first `metrics_bytes`, which `step` was reached with."""
        with self._writing(METRICS):
            self._metrics.truncate(metrics_bytes)
            self._metrics.seek(0, os.SEEK_END)
        self._first_step = step

    def metrics_bytes(self) -> int:
        """Returns the length of metrics.jsonl."""
        return os.fstat(self._metrics.fileno()).st_size

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json."""
        with self._writing(RESULT):
            files.write_json(self.path / RESULT, result)

    def close(self) -> None:
        """Closes the files that are still open, and lets others have the directory."""
        with contextlib.suppress(OSError):  # a full disk has been told of when it was written to
            self._metrics.close()
        with contextlib.suppress(OSError):
            if self._events is not None:
                self._events.close()
        self._lock.release()

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise errors.WriteFault(
                f"{str(self.path / name)!r} can't be written: {error.strerror or error}. Make room or mend the disk, then "
                f"'agentlab resume {self.path}'."
            ) from error


class _EventFile:
    """TensorBoard's event file: one summary of scalars per report. Viewing it needs TensorBoard, writing it does not.

    Args:
        directory: of the run's event files.
        first_step: where a resumed run goes on from; 0 for one from the start.
    """

    def __init__(self, directory: pathlib.Path, first_step: int) -> None:
        import tensorflow as tf

        self._tf = tf
        directory.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}"
        self._writer = self._told(tf.io.TFRecordWriter, str(directory / name))
        self._write(file_version="brain.Event:2")
        if first_step:
            started = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
            self._write(step=first_step, session_log=started)  # TensorBoard then forgets what came after

    def write(self, step: int, line: dict[str, Any]) -> None:
        v1 = self._tf.compat.v1
        values = [v1.Summary.Value(tag=tag, simple_value=value) for tag, value in line.items() if isinstance(value, float)]
        self._write(step=step, summary=v1.Summary(value=values))

    def close(self) -> None:
        self._told(self._writer.close)

    def _write(self, **fields: Any) -> None:
        event = self._tf.compat.v1.Event(wall_time=time.time(), **fields)
        self._told(self._writer.write, event.SerializeToString())
        self._told(self._writer.flush)

    def _told(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls, and raises OSError for what TensorFlow tells of files in errors of its own."""
        try:
            return function(*arguments)
        except self._tf.errors.OpError as error:
            raise OSError(error.message.rpartition("; ")[2]) from error  # what comes before is the path


def _created(path: pathlib.Path) -> pathlib.Path:
    path.mkdir(parents=True)
    return path


def _next_free(parent: pathlib.Path, seed: int) -> pathlib.Path:
    number = 1
    while True:
        try:
            return _created(parent / f"{seed}-{number}")
        except FileExistsError:
            if not (parent / f"{seed}-{number}").exists():
                raise
            number += 1
