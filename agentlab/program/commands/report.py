"""The command `agentlab report`: runs compared in a table, as CSV, as JSON, or on a page."""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import TYPE_CHECKING

from agentlab import errors
from agentlab.program.commands.command import Command
from agentlab.system import files
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder

if TYPE_CHECKING:
    from agentlab.reports import Comparison


def report(options: argparse.Namespace) -> int:
    """Compares finished runs: interquartile mean over seeds with a 95 % bootstrap interval, mean, median, best and time.

    Runs of one task whose settings are equal, apart from the seed, make a group.
    """
    from agentlab.reports import collect, compare, tables

    comparison = compare(collect(options.runs, options.tag), options.score, options.group_by)
    write = tables.csv_text if options.csv else tables.json_text if options.json else tables.text
    print(write(comparison).rstrip("\n"))

    # CSV and JSON are for programs, which read nothing else.
    if options.output:
        write_page(comparison, options.runs, options.output)
        if not (options.csv or options.json):
            print(f"Page in {options.output}")
    return 0


def write_page(comparison: Comparison, runs: list[str], output: str) -> None:
    """Writes a comparison as one page, with its pictures and those of sweeps in `runs`, which its title names."""
    from agentlab.reports import figures, page, samples, search_figures, searches

    pictures = figures.pictures(comparison) + samples.samples(comparison)
    for sweep in searches.read_sweeps(runs):
        pictures += search_figures.search_pictures(sweep)
    text = page.page(comparison, pictures, f"agentlab report: {', '.join(runs)}")

    # In one piece, over a file of that name if there is one, but not over a device.
    path = pathlib.Path(output)
    if not path.parent.is_dir():
        raise errors.UsageError(
            f"The page can't be written: {str(path.parent)!r} is no directory. Make it, or name another file."
        )
    if os.path.lexists(path) and not path.is_file():
        raise errors.UsageError(f"The page can't be written: {output!r} is no file. Name another one.")
    try:
        Folder.open(path.parent).replace(path.name, [text.encode("utf-8")]).close()
    except (OSError, ValueError, UnreadableError) as error:
        raise errors.UsageError(f"The page can't be written: {files.reason(path, error)}. Name another file.") from error


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("runs", nargs="+", metavar="RUN_OR_FOLDER", help="a run's directory, or a folder of runs")
    command.add_argument("--output", metavar="FILE.html", help="also write one page with the table and plots")
    command.add_argument(
        "--group-by",
        action="append",
        default=[],
        metavar="SETTING",
        help="group runs by this setting; may be repeated (default: all settings in which the runs of a task differ)",
    )
    command.add_argument("--tag", action="append", default=[], metavar="TAG", help="only runs with this tag; may be repeated")
    command.add_argument(
        "--score",
        metavar="NAME",
        help="number of result.json to compare, such as seconds.train (default: bits per character, accuracy or mean return)",
    )
    formats = command.add_mutually_exclusive_group()
    formats.add_argument("--csv", action="store_true", help="print the table as CSV")
    formats.add_argument("--json", action="store_true", help="print groups and runs as JSON")


REPORT = Command("report", "compare runs over their seeds", report, _add_options)
