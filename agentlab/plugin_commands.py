"""The commands for plugin authors: `agentlab plugin check`; and single-file plugins for every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from agentlab import importing, plugins, task


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands to `commands`, a set of subparsers, by `command(name, function, text, commands)`."""
    checked = command("check", check, "hold a plugin to its contracts, line by line", commands)
    checked.add_argument("name", metavar="NAME", help="of a package, task or part, or PACKAGE:NAME")
    checked.add_argument(
        "--set", action="append", default=[], metavar="SETTING=VALUE", help="of the part to check it with; may be repeated"
    )


def add_files(files: list[str]) -> None:
    """Offers the parts of single files in this process."""
    for file in files:
        with importing.quietly():
            plugins.add_file(file)


def check(options: argparse.Namespace) -> int:
    """Holds parts and tasks to their contracts, line by line; the exit code is 1 if a line is broken."""
    settings = task.dotted(options.set)
    importing.runner()
    from agentlab.testing import report

    return report.check(options.name, settings, debug=options.debug)
