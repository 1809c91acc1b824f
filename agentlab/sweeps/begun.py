"""Whether a directory holds a run already, and whether another process still writes to it; runs at a time."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import time

import attrs

from agentlab import configuration, errors
from agentlab.runs.files.run_directory import CONFIG
from agentlab.system import files
from agentlab.system.folder import Folder
from agentlab.system.lock import DirectoryLock
from agentlab.task import Task, with_parts

FREE_SECONDS = 30.0  # that a process which was asked to end may take to write its checkpoint
LOOK_SECONDS = 0.1


def default_jobs(task: Task) -> int:
    """Returns how many runs of a task this machine makes at a time: each has as many cores as it has threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (task.threads or cores))


def is_begun(directory: str | pathlib.Path | None, task: Task, seed: int) -> bool:
    """Returns whether the directory of `agentlab run --run-dir DIR --resume` holds the run already.

    Raises:
        UsageError: no directory is named, or it holds another run.
    """
    if directory is None:
        raise errors.UsageError("--resume needs the run's directory: add --run-dir DIR.")
    file = pathlib.Path(directory) / CONFIG
    if not os.path.lexists(file):
        return False
    recorded, recorded_seed, _ = configuration.read_run_config(file, trust=True)  # compared only
    before, now = _plain(recorded, recorded_seed), _plain(task, seed)
    if before != now:
        names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        raise errors.UsageError(
            f"{str(directory)!r} holds another run, with different settings: {files.some(names)}. Name another --run-dir, or "
            f"ask for the same run; 'agentlab resume {shlex.quote(str(directory))}' resumes it as it is."
        )
    return True


def wait_until_free(directory: str | pathlib.Path | None, seconds: float = FREE_SECONDS) -> None:
    """Waits while another process holds a run's directory, which is ending: the sweep that started it may have been killed.

    After so many seconds it returns anyway, and the run says who holds the directory.
    """
    end = time.monotonic() + seconds
    while directory is not None and time.monotonic() < end:
        try:
            DirectoryLock(Folder.open(pathlib.Path(directory))).release()
        except errors.UsageError:
            time.sleep(LOOK_SECONDS)
        except (OSError, ValueError, files.UnreadableError):  # there is none, or what is there is no run's directory
            return
        else:
            return


def _plain(task: Task, seed: int) -> dict[str, object]:
    """Returns what determines a run, by name; of which package a part is, is not said by everyone."""
    whole = with_parts(task, lambda _path, _kind, part: attrs.evolve(part, package=""))
    return {**json.loads(json.dumps(whole.as_data())), "seed": seed}
