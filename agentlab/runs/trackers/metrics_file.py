"""metrics.jsonl: a line of JSON for every report, the run's own record: if it can't be written, the run ends."""

from __future__ import annotations

import contextlib
import os
from typing import Any, BinaryIO

from agentlab.runs.files.run_directory import METRICS, RunDirectory, first_bytes
from agentlab.system import files
from agentlab.tracker import Metrics, TrackedRun, Tracker


class MetricsFile(Tracker):
    """Appends the metrics of every report to metrics.jsonl; null stands for what is not finite.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None

    def begin(self, run: TrackedRun) -> None:
        """Drops the lines after those that the state counts; they will be written again."""
        with self._directory.writing(METRICS):
            folder = self._directory.folder
            self._file = folder.replace(METRICS, first_bytes(folder, METRICS, run.state.get("bytes", 0)))

    def line(self, metrics: Metrics) -> None:
        with self._directory.writing(METRICS):
            self._opened.write(files.json_bytes(files.with_nulls(metrics), "a line of metrics", indent=None))
            self._opened.flush()

    def sync(self) -> None:
        """Syncs what the file holds by now to disk; the training thread may be writing to it."""
        with self._directory.writing(METRICS):
            os.fsync(self._opened.fileno())

    def state(self) -> dict[str, Any]:
        return {"bytes": os.fstat(self._opened.fileno()).st_size}

    def end(self, result: dict[str, Any] | None) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk was reported when it was written to
                self._file.close()

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None, "'begin' comes first"
        return self._file
