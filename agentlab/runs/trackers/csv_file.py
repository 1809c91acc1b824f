"""metrics.csv: the metrics of a run as a table, a row for every report."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import attrs

from agentlab.system.folder import Folder
from agentlab.tracker import Metrics, TrackedRun, Tracker

FILE = "metrics.csv"


@attrs.define(slots=False, eq=False)
class CSV(Tracker):
    """Writes metrics.csv into the run's directory, for spreadsheets: a row for every report, empty where there is no number.

    The columns are those of the first report. A metric that is new in a later one, such as the first evaluation's, begins a new
    header: the whole table is written again with its column.

    Attributes:
        separator: between two columns, one character.
    """

    separator: str = attrs.field(default=",", validator=[attrs.validators.min_len(1), attrs.validators.max_len(1)])

    def begin(self, run: TrackedRun) -> None:
        self._folder = Folder.open(run.directory)
        self._columns: list[str] = list(run.state.get("columns", []))
        self._num_rows: int = run.state.get("rows", 0)
        table = self._read()[1 : self._num_rows + 1] if self._num_rows else []  # later rows come again
        self._write([row[: len(self._columns)] for row in table])

    def line(self, metrics: Metrics) -> None:
        if new := [name for name in metrics if name not in self._columns]:
            rows = self._read()[1:]
            self._columns += new
            self._file.close()
            self._write([row + [""] * len(new) for row in rows])
        self._file.write(self._row([metrics.get(name) for name in self._columns]))
        self._file.flush()
        self._num_rows += 1

    def _write(self, rows: list[list[str]]) -> None:
        """Replaces the file by a table of these rows, below the names of the columns."""
        table = [self._columns, *rows] if self._columns else []
        self._file: BinaryIO = self._folder.replace(FILE, map(self._row, table))

    def _read(self) -> list[list[str]]:
        """Returns the rows of the file, the names of the columns first."""
        if not self._folder.has(FILE):
            return []
        with self._folder.open_file(FILE) as opened:
            text = opened.read().decode("utf-8")
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=self.separator))

    def _row(self, values: Sequence[Any]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerow(values)
        return text.getvalue().encode("utf-8")

    def state(self) -> dict[str, Any]:
        os.fsync(self._file.fileno())  # before a checkpoint counts its rows
        return {"rows": self._num_rows, "columns": self._columns}

    def end(self, result: dict[str, Any] | None) -> None:
        self._file.close()
