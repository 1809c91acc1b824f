"""Options that several commands have, and what their values have to be."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from agentlab import errors
from agentlab.program import tensorflow_setup
from agentlab.registry import plugins

if TYPE_CHECKING:
    from agentlab.sweeps import EngineOptions

OF_ENGINE = ("engine", "jobs", "address", "cpus", "gpus", "hang_timeout")  # the fields of `EngineOptions`
LARGEST = 10**15  # of a number of steps, episodes or characters: beyond anybody's lifetime


def add_common(command: argparse.ArgumentParser) -> None:
    """Adds the options that every command has."""
    command.add_argument("--debug", action="store_true", help="show tracebacks")
    command.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="also offer the parts of this file; may be repeated"
    )


def add_trust(command: argparse.ArgumentParser, file: str = "the run's config.json") -> None:
    """Adds the option that trusts what `file`, in words, names."""
    command.add_argument(
        "--trust", action="store_true",
        help=f"import any module that {file} names, and build objects that only a user may request",
    )  # fmt: skip


def add_changes(command: argparse.ArgumentParser) -> None:
    """Adds the option that changes settings of a run's task for one command."""
    command.add_argument(
        "--set", action="append", default=[], metavar="PART.SETTING=VALUE",
        help="change a setting for this command; may be repeated",
    )  # fmt: skip


def add_engine(command: argparse.ArgumentParser) -> None:
    """Adds the options that say where runs are made."""
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="where the runs go (default: local)")
    command.add_argument(
        "--address", metavar="HOST:PORT", help="address of a Ray cluster (default: RAY_ADDRESS, or this machine)"
    )
    command.add_argument("--cpus", type=int, metavar="N", help="with Ray: CPUs for each run (default: the task's threads)")
    command.add_argument("--gpus", type=float, metavar="N", help="with Ray: GPUs for each run (default: 0)")
    command.add_argument(
        "--hang-timeout", type=float, metavar="SECONDS",
        help="end a run that hangs for this long, and count it as failed (default: 3600)",
    )  # fmt: skip


def engine_options(options: argparse.Namespace) -> EngineOptions:
    """Returns what the options of a command say about engines."""
    from agentlab.sweeps import EngineOptions  # which a single run does without

    return EngineOptions(**{name: getattr(options, name) for name in OF_ENGINE})


def check_positive(option: str, value: int | None) -> None:
    """Raises UsageError unless an option's value is a number from 1 to LARGEST, or isn't there."""
    if value is not None and value < 1:
        raise errors.UsageError(f"{option} is {value}; expected a whole number of at least 1.")
    if value is not None and value > LARGEST:
        raise errors.UsageError(f"{option} is {value:,}; expected at most {LARGEST:,}.")


def offer_files(files: list[str]) -> None:
    """Offers the parts of the files of `--plugin` in this process, and says which parts of packages they stand in front of."""
    for file in files:
        with tensorflow_setup.quietly():
            hidden = plugins.add_file(file)
        for offer in hidden:
            package = f"{offer.package} {offer.version}"
            print(
                f"agentlab: The {offer.kind} {offer.name!r} is that of {file}, not of {package}, which is "
                f"{offer.package}:{offer.name}.",
                file=sys.stderr,
            )
