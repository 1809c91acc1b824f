"""The files a run leaves, and what a person sees while it goes on."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import sys
import time
from importlib import metadata
from typing import Any, TextIO

from agentlab import errors
from agentlab.spec import EnvironmentSpec
from agentlab.task import Task

UNKNOWN_WIDTH = 100  # columns of the bar on a terminal that does not tell its own
LIBRARIES = ("agentlab", "tensorflow", "keras", "numpy", "gymnasium")


def process_start() -> float:
    """Returns when this process started, in seconds since the epoch: exact on Linux, else when agentlab was imported."""
    try:
        fields = pathlib.Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()
        uptime = float(pathlib.Path("/proc/uptime").read_text("ascii").split()[0])
        return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _IMPORTED


_IMPORTED = time.time()


class RunDirectory:
    """A run's files: config.json, metrics.jsonl, result.json, events/ and checkpoints/.

    Args:
        path: where; None takes the first free of `runs/TASK/SEED-1`, `SEED-2`, ...
        task: of the run.
        seed: of the run.

    Raises:
        UsageError: `path` exists, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, task: Task, seed: int) -> None:
        try:
            self.path = _created(pathlib.Path(path)) if path is not None else _next_free(pathlib.Path("runs") / task.name, seed)
            self._metrics = (self.path / "metrics.jsonl").open("w", encoding="utf-8")
        except FileExistsError as error:
            raise errors.UsageError(f"Run directory {str(path)!r} exists; runs are never overwritten: name another.") from error
        except OSError as error:
            where = str(path or f"runs/{task.name}")
            raise errors.UsageError(
                f"Run directory {where!r} can't be written: {error.strerror}. Name another with --run-dir DIR."
            ) from error
        self._events: Any = None

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where the run's checkpoints are."""
        return self.path / "checkpoints"

    def write_config(self, task: Task, seed: int, spec: EnvironmentSpec) -> None:
        """Writes all that it takes to run the task again, or to use its agent without the environment, and on what it ran."""
        versions = {name: metadata.version(name) for name in LIBRARIES}
        machine = {
            "versions": {"python": platform.python_version(), **versions},
            "threads": _threads(),
            "cpu_flags": _cpu_flags(),
        }
        self._write("config.json", {"task": task.as_data(), "seed": seed, "spec": spec.as_data(), **machine})

    def write_metrics(self, line: dict[str, Any]) -> None:
        """Appends one chunk's metrics to metrics.jsonl and TensorBoard's events."""
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()
        if self._events is None:
            self._events = _EventFile(self.path / "events")
        self._events.write(line["step"], line)

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json."""
        self._write("result.json", result)

    def close(self) -> None:
        """Closes the files that are still open."""
        self._metrics.close()
        if self._events is not None:
            self._events.close()

    def _write(self, name: str, data: dict[str, Any]) -> None:
        temporary = self.path / f".{name}"
        temporary.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        temporary.replace(self.path / name)


class _EventFile:
    """TensorBoard's event file: one summary of scalars per chunk. Viewing it needs TensorBoard, writing it does not."""

    def __init__(self, directory: pathlib.Path) -> None:
        import tensorflow as tf

        self._tf = tf
        directory.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}"
        self._writer = tf.io.TFRecordWriter(str(directory / name))
        self._writer.write(tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def write(self, step: int, line: dict[str, Any]) -> None:
        v1 = self._tf.compat.v1
        values = [v1.Summary.Value(tag=tag, simple_value=value) for tag, value in line.items() if isinstance(value, float)]
        event = v1.Event(wall_time=time.time(), step=step, summary=v1.Summary(value=values))
        self._writer.write(event.SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Progress:
    """Shows a run's progress: a bar on a terminal, plain lines in a pipe, nothing if it is to be quiet.

    Args:
        total: environment steps in all.
        quiet: show nothing.
        stream: where to; by default standard error for a bar and standard output for lines.
    """

    def __init__(self, total: int, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._total = total
        self._quiet = quiet
        self._bar: Any = None
        self._stream = stream or sys.stdout
        terminal = sys.stderr if stream is None else stream
        if not quiet and terminal.isatty():
            from tqdm.auto import tqdm

            width: dict[str, Any] = {"dynamic_ncols": True} if _columns(terminal) else {"ncols": UNKNOWN_WIDTH, "nrows": 20}
            self._bar = tqdm(total=total, unit="step", unit_scale=True, file=terminal, leave=True, **width)

    def chunk(self, line: dict[str, Any]) -> None:
        """Shows one chunk's metrics."""
        if self._bar is not None:
            shown = {short: _short(line.get(name)) for short, name in (("return", "return_mean"), ("loss", "loss"))}
            if "evaluation_accuracy" in line:
                shown["accuracy"] = _short(line["evaluation_accuracy"])
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(line["step"] - self._bar.n)
        elif not self._quiet:
            names = (
                "return_mean",
                "loss",
                "evaluation_accuracy" if "evaluation_accuracy" in line else "evaluation_return_mean",
            )
            facts = "  ".join(f"{name} {_short(line[name])}" for name in names if line.get(name) is not None)
            rate = f"{line['steps_per_second']:,.0f} steps/s"
            print(f"step {line['step']:>9,} of {self._total:,}  {rate}  {facts}", file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Shows a sentence."""
        if self._bar is not None:
            self._bar.clear()
        if not self._quiet:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _columns(terminal: TextIO) -> int:
    """Returns the width of a terminal; 0, which tqdm takes by its word, where it does not tell."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns
    except (OSError, ValueError):  # such as a stream of Python's that claims to be a terminal
        return 0


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


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


def _threads() -> dict[str, int]:
    import tensorflow as tf

    threading = tf.config.threading
    return {
        "intra_op": threading.get_intra_op_parallelism_threads(),
        "inter_op": threading.get_inter_op_parallelism_threads(),
        "cores": os.cpu_count() or 0,
    }


def _cpu_flags() -> list[str]:
    """Returns the vector instructions of this CPU, which decide how sums are rounded; empty where the system doesn't tell."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return []
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith("flags")), [])
    return sorted(flag for flag in flags if flag.startswith(("sse", "ssse", "avx", "fma", "amx")))
