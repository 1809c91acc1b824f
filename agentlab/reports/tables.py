"""A comparison as text for a terminal, as CSV, as JSON, and as a data frame."""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from typing import TYPE_CHECKING, Any

from agentlab import errors
from agentlab.reports.comparison import Comparison, Row, setting_text
from agentlab.reports.recorded_runs import RecordedRun, collect

if TYPE_CHECKING:
    import pandas

FIGURES = ("interquartile_mean", "low", "high", "mean", "median", "best", "seconds")  # of a row, after what it is of


def text(comparison: Comparison) -> str:
    """Returns the table for people: one line for each group, and one for each run that is left out."""
    names = comparison.setting_names
    head = ["task", *names, "n", f"IQM of {comparison.score}", "95 % interval", "mean", "median", "best", "seconds"]
    lines = [head, *(cells(row, names) for row in comparison.rows)]

    # Columns as wide as their longest entry; numbers at their right ends.
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    table = ["  ".join(_padded(line, widths, num_texts=len(names) + 1)).rstrip() for line in lines]
    return errors.printable("\n".join([*table, *left_out_lines(comparison)]))


def _padded(cells: list[str], widths: list[int], num_texts: int) -> list[str]:
    """Returns cells as wide as their columns: texts at their left ends, and the numbers after them at their right ends."""
    wide = enumerate(zip(cells, widths, strict=True))
    return [cell.ljust(width) if place < num_texts else cell.rjust(width) for place, (cell, width) in wide]


def left_out_lines(comparison: Comparison) -> list[str]:
    """Returns a line for each run that is in no group."""
    lists = {"Not finished": comparison.unfinished, "Left out": comparison.left_out}
    return [f"{title}: {directory}: {reason}." for title, runs in lists.items() for directory, reason in runs.items()]


def cells(row: Row, names: list[str]) -> list[str]:
    """Returns the texts of a group's line: task, settings, number of runs, then its figures."""
    settings = [setting_text(row.settings.get(name, "")) for name in names]
    interval = f"[{number(row.low)}, {number(row.high)}]"
    figures = [number(row.mean), number(row.median), number(row.best), "" if row.seconds is None else f"{row.seconds:.1f}"]
    return [row.task, *settings, str(len(row.runs)), number(row.interquartile_mean), interval, *figures]


def number(value: float) -> str:
    """Returns a figure as tables show it: five digits that count, more of whole thousands."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.5g}"


def csv_text(comparison: Comparison) -> str:
    """Returns the table as CSV: one line for each group, numbers in full."""
    names = comparison.setting_names
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["task", *names, "n", "score", *FIGURES])
    for row in comparison.rows:
        settings = [row.settings.get(name, "") for name in names]
        writer.writerow([row.task, *settings, len(row.runs), comparison.score, *(getattr(row, name) for name in FIGURES)])
    return written.getvalue()


def json_text(comparison: Comparison) -> str:
    """Returns groups, their runs and what is left out as JSON."""
    groups = [
        {
            "task": row.task,
            "settings": row.settings,
            "n": len(row.runs),
            **{name: getattr(row, name) for name in FIGURES},
            "runs": [
                {"directory": str(run.directory), "seed": run.seed, "tags": run.provenance.tags, "score": score}
                for run, score in zip(row.runs, row.scores, strict=True)
            ],
        }
        for row in comparison.rows
    ]
    apart = {"unfinished": comparison.unfinished, "left_out": comparison.left_out}
    return json.dumps({"score": comparison.score, "groups": groups, **apart}, indent=1)


def results(*paths: str | os.PathLike[str]) -> pandas.DataFrame:
    """Returns a data frame with one row for each run: directory, task, seed, status, tags, settings, and result.

    Args:
        paths: directories of runs, or folders of them.

    Raises:
        UsageError: there is no run, or pandas is not installed. Runs that can't be read are a warning.
    """
    try:
        import pandas
    except ImportError as error:
        raise errors.UsageError("A data frame needs pandas: pip install 'agentlab[report]'.") from error
    collection = collect(paths)
    for directory, reason in collection.problems.items():
        warnings.warn(f"The run {str(directory)!r} is left out: {reason}.", errors.RunWarning, stacklevel=2)
    return pandas.DataFrame([_record(run) for run in collection.runs])


def _record(run: RecordedRun) -> dict[str, Any]:
    figures = {name: run.figure(name) for name in run.figures()}
    own = {"directory": str(run.directory), "task": run.task, "seed": run.seed}
    return {**own, "status": run.provenance.status, "tags": " ".join(run.provenance.tags), **run.settings, **figures}
