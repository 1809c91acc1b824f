"""A run's directory: config.json, metrics.jsonl, result.json, provenance.json, TensorBoard's events, media and checkpoints."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import pathlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any, NotRequired, TypedDict

from agentlab import errors
from agentlab.runs.checkpoints import Checkpoints
from agentlab.system import files
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.system.folder import Folder
from agentlab.system.lock import FILE as LOCK
from agentlab.system.lock import DirectoryLock

CONFIG = "config.json"
METRICS = "metrics.jsonl"
RESULT = "result.json"
PROVENANCE = "provenance.json"
EVENTS = "events"
MEDIA = "media"
CHECKPOINTS = "checkpoints"
BEGINNINGS = (f".{CONFIG}", METRICS, LOCK)  # what a process may leave that is killed before it has written config.json
COPY_BYTES = 2**20  # of metrics at once


class Best(TypedDict):
    """The best evaluation during training: the environment step, and the mean return."""

    step: int
    return_mean: float


class Result(TypedDict):
    """The content of a run's result.json.

    `evaluation` has the entries of every evaluation, such as `return_mean`, and what the trainer's score adds, such as
    `accuracy`. `seconds` has those of each phase and their `total`. `exact` is whether the run is bit for bit what one session
    would have come to.
    """

    task: str
    seed: int
    gear: str
    execution: str
    steps: int
    updates: int
    exact: bool
    best: NotRequired[Best]
    evaluation: dict[str, Any]
    seconds: dict[str, float]


class RunDirectory:
    """A run's directory, open and locked until it is closed.

    Everything is written to the directory itself: one that takes its place under its name is left alone, and a link
    in it is not followed.

    Args:
        folder: the directory.
        lock: of the directory.
        metrics_bytes: the length that its metrics.jsonl had when it was opened.
    """

    def __init__(self, folder: Folder, lock: DirectoryLock, metrics_bytes: int = 0) -> None:
        self.folder = folder
        self.checkpoints = Checkpoints(folder.path / CHECKPOINTS, folder)
        self._lock = lock
        self._is_new = False
        self.metrics_bytes = metrics_bytes
        self.advise(f"agentlab resume {shlex.quote(str(folder.path))}")

    def advise(self, command: str) -> None:
        """Takes the command that resumes this run, for messages."""
        self.resuming = self.checkpoints.resuming = command

    @property
    def path(self) -> pathlib.Path:
        """Where the directory is."""
        return self.folder.path

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str] | None,
        task: str,
        seed: int,
        config: bytes,
        or_resume: Callable[[pathlib.Path], str] = lambda _: "",
        root: pathlib.Path = pathlib.Path(),
    ) -> RunDirectory:
        """Makes a new directory with a config; None takes the first free of `runs/TASK/SEED-1`, `SEED-2`, ...

        A directory in which nothing is written yet counts as new: a process may have been killed right after it made it.

        Args:
            path: of the directory.
            task: the name of its task.
            seed: of the run.
            config: the content of config.json.
            or_resume: returns the end of the advice if there is a run already: how to resume it.
            root: where relative paths begin.

        Raises:
            UsageError: `path` exists, or cannot be written.
        """
        where = str(root / (path or f"runs/{task}"))

        # Its own directory, or the next free number.
        try:
            folder, lock = _claimed(root / path) if path is not None else _next_free(root / "runs" / task, seed)
        except FileExistsError as error:
            raise errors.UsageError(
                f"Run directory {where!r} exists; runs are never overwritten: name another{or_resume(pathlib.Path(where))}."
            ) from error
        except (OSError, ValueError, UnreadableError) as error:
            raise _unusable(where, error, "Name another with --run-dir DIR.") from error
        return cls(folder, lock)._begun(config)

    @classmethod
    def open(cls, path: pathlib.Path) -> RunDirectory:
        """Opens a run's directory to resume the run.

        Raises:
            UsageError: another process holds it, it cannot be written, or a part of it is a symbolic link.
        """
        # The lock first: nobody else may write while this process looks.
        lock = None
        try:
            folder = Folder.open(path)
            lock = DirectoryLock(folder)
            for name in (EVENTS, MEDIA, CHECKPOINTS):
                if folder.has(name):
                    folder.folder(name)
            return cls(folder, lock, _length_of_metrics(folder))
        except (OSError, UnreadableError) as error:
            if lock is not None:
                lock.release()
            remedy = "Remove that." if isinstance(error, UnreadableError) else "Fix its permissions or copy it."
            raise _unusable(str(path), error, remedy) from error

    def _begun(self, config: bytes) -> RunDirectory:
        """Returns this new directory with its first files; removes it where they can't be written."""
        self._is_new = True
        try:
            self.write_config(config)
            with self.writing(METRICS):
                self.folder.replace(METRICS, []).close()
        except BaseException:
            self.discard()
            raise
        return self

    def discard(self) -> None:
        """Closes a directory that nothing was trained in, and removes it if it was made for this run."""
        if self._is_new:
            _discard(self.folder)
        self.close()

    def write_config(self, config: bytes) -> None:
        """Writes config.json, all that it takes to run the task again."""
        with self.writing(CONFIG):
            self.folder.replace(CONFIG, [config]).close()

    def write_result(self, result: Result) -> None:
        """Writes result.json; null stands for what is not finite."""
        with self.writing(RESULT):
            self.folder.replace(RESULT, [files.json_bytes(files.with_nulls(result), RESULT)]).close()

    def close(self) -> None:
        """Releases the directory for others."""
        self._lock.release()

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Turns errors in writing a run's file into a WriteFault, with the command that resumes the run."""
        try:
            yield
        except (OSError, UnreadableError, UnwritableError) as error:
            remedy = "Make room or fix the disk" if isinstance(error, OSError) else "Fix that"
            raise errors.WriteFault(
                f"{str(self.path / name)!r} can't be written: {getattr(error, 'strerror', None) or error}. {remedy}, then "
                f"'{self.resuming}'."
            ) from error


def _claimed(path: pathlib.Path) -> tuple[Folder, DirectoryLock]:
    """Makes a directory, or takes one in which nothing is written yet; returns it and the lock on it.

    Raises:
        FileExistsError: there is something of this name, be it a symbolic link.
        UsageError: another process is about to write it.
        UnreadableError: what a killed process has left there is no plain file.
        OSError: it can't be made.
    """
    if not path.name:  # the current directory, or the root
        raise FileExistsError

    # Another process may be making the same directory at this moment.
    existed = os.path.lexists(path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        folder = Folder.open(path, follow=False)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
            raise FileExistsError from error
        raise
    if not is_blank(folder):
        raise FileExistsError

    # Locked and still blank: then it is this process's.
    try:
        lock = DirectoryLock(folder)
    except OSError:
        if not existed:
            _discard(folder)
        raise
    if not is_blank(folder):  # another process was quicker, and has ended by now
        lock.release()
        raise FileExistsError
    return folder, lock


def _next_free(parent: pathlib.Path, seed: int) -> tuple[Folder, DirectoryLock]:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError, errors.UsageError):  # taken, or about to be
            return _claimed(parent / f"{seed}-{number}")
    raise AssertionError("there is always another number")


def is_blank(folder: Folder) -> bool:
    """Returns whether nothing but what a process leaves that is killed before its config is written is in a directory."""
    return set(folder.names()) <= set(BEGINNINGS) and not _length_of_metrics(folder)


def _discard(folder: Folder) -> None:
    """Removes a new directory that can't be used, as far as nobody else has written to it."""
    with contextlib.suppress(OSError):
        for name in (CONFIG, *BEGINNINGS):
            folder.remove(name)
        folder.path.rmdir()


def _length_of_metrics(folder: Folder) -> int:
    if not folder.has(METRICS):
        return 0
    with folder.open_file(METRICS) as opened:
        return os.fstat(opened.fileno()).st_size


def first_bytes(folder: Folder, name: str, length: int) -> Iterator[bytes]:
    """Yields the first bytes of a file in a folder."""
    if not length:
        return
    with folder.open_file(name) as opened:
        while length and (piece := opened.read(min(COPY_BYTES, length))):
            length -= len(piece)
            yield piece


def _unusable(where: str, error: Exception, remedy: str) -> errors.UsageError:
    reason = getattr(error, "strerror", None) or error
    return errors.UsageError(f"Run directory {where!r} can't be written: {reason}. {remedy}")
