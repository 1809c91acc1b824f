"""The command `agentlab sweep`: the runs of a grid, or of a search, each with several seeds."""

from __future__ import annotations

import argparse

from agentlab.program import process
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import OF_ENGINE, add_engine, add_trust, check_positive
from agentlab.system import console


def sweep(options: argparse.Namespace) -> int:
    """Runs a sweep, and prints a table of its results.

    The same command resumes a sweep that was interrupted. Finished runs are not repeated.
    """
    for name in ("jobs", "trials", "cpus"):
        check_positive(f"--{name}", getattr(options, name))
    from agentlab.reports import tables
    from agentlab.sweeps.sweeping import sweep as run_sweep

    names = (*OF_ENGINE, "sweep_dir", "trials", "timeout", "trust", "quiet")
    chosen = {name: getattr(options, name) for name in names}
    with process.stop_on_signals() as stop, process.plain_warnings():
        result = run_sweep(options.sweep, **chosen, stop=lambda: bool(stop), plugins=options.plugin)
    if result.comparison is not None:
        console.print_line(tables.text(result.comparison))
    console.print_line(f"Files in {result.directory}")
    return 1 if result.num_failed else 0


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("sweep", metavar="FILE.toml", help="the sweep's file, or the directory of a sweep to resume")
    command.add_argument("--sweep-dir", metavar="DIR", help="directory for the sweep's files (default: sweeps/NAME)")
    command.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: as many as there are cores for)")
    command.add_argument("--trials", type=int, metavar="N", help="number of trials of a search, instead of the file's")
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="stop starting trials of a search after this time")
    command.add_argument("--quiet", action="store_true", help="show nothing but failures and the table")
    add_trust(command, "the file")
    add_engine(command)


SWEEP = Command("sweep", "run a grid or a search of settings", sweep, _add_options)
