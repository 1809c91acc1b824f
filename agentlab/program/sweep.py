"""The command `agentlab sweep`: the runs of a grid, or of a search, each with several seeds."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from agentlab import errors
from agentlab.program import process
from agentlab.system import console


def add(command: Callable[..., argparse.ArgumentParser], check_positive: Callable[[str, int | None], None]) -> None:
    """Adds the command by `command(name, function, text)`."""
    added = command("sweep", lambda options: sweep(options, check_positive), "run a grid or a search of settings")
    added.description = sweep.__doc__
    added.add_argument("sweep", metavar="FILE.toml", help="the sweep's file, or the directory of a sweep to resume")
    added.add_argument("--sweep-dir", metavar="DIR", help="directory for the sweep's files (default: sweeps/NAME)")
    added.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: as many as there are cores for)")
    added.add_argument("--trials", type=int, metavar="N", help="number of trials of a search, instead of the file's")
    added.add_argument("--timeout", type=float, metavar="SECONDS", help="stop starting trials of a search after this time")
    added.add_argument("--quiet", action="store_true", help="show nothing but failures and the table")
    added.add_argument(
        "--trust",
        action="store_true",
        help="import any module that the file names, and build objects that only a user may request",
    )
    add_engine(added)


def add_engine(command: argparse.ArgumentParser) -> None:
    """Adds the options that say where runs are made."""
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="where the runs go (default: local)")
    command.add_argument(
        "--address", metavar="HOST:PORT", help="address of a Ray cluster (default: RAY_ADDRESS, or this machine)"
    )
    command.add_argument("--cpus", type=int, metavar="N", help="with Ray: CPUs for each run (default: the task's threads)")
    command.add_argument("--gpus", type=float, metavar="N", help="with Ray: GPUs for each run (default: 0)")


def check_no_engine(options: argparse.Namespace) -> None:
    """Raises UsageError if options say where runs are made, but there is only one."""
    if options.engine != "local" or any(getattr(options, name) is not None for name in ("address", "cpus", "gpus")):
        raise errors.UsageError("--engine, --address, --cpus and --gpus are for several runs; add --seeds, or leave them out.")


def sweep(options: argparse.Namespace, check_positive: Callable[[str, int | None], None]) -> int:
    """Runs a sweep, and prints a table of its results.

    The same command resumes a sweep that was interrupted. Finished runs are not repeated.
    """
    for name in ("jobs", "trials", "cpus"):
        check_positive(f"--{name}", getattr(options, name))
    from agentlab.reports import tables
    from agentlab.sweeps.sweeping import sweep as run_sweep

    names = ("sweep_dir", "jobs", "engine", "address", "cpus", "gpus", "trials", "timeout", "trust", "quiet")
    chosen = {name: getattr(options, name) for name in names}
    with process.stop_on_signals() as stop, process.plain_warnings():
        result = run_sweep(options.sweep, **chosen, stop=lambda: bool(stop), plugins=options.plugin)
    if result.comparison is not None:
        console.print_line(tables.text(result.comparison))
    console.print_line(f"Files in {result.directory}")
    return 1 if result.num_failed else 0
