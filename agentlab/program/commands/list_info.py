"""The commands `agentlab list` and `agentlab info`: what is installed. They import no TensorFlow."""

from __future__ import annotations

import argparse
import json
import sys

from agentlab.program import listing
from agentlab.program.commands.command import Command
from agentlab.registry.kinds import KINDS
from agentlab.system import terminal


def list_parts(options: argparse.Namespace) -> int:
    """Lists tasks and parts with the package that offers them, from metadata only: nothing is imported.

    On a terminal, only their names are listed unless a KIND is named.
    """
    rows = listing.rows(options.kind)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print(listing.overview(rows) if options.kind is None and terminal.is_terminal(sys.stdout) else listing.table(rows))
    return 0


def info(options: argparse.Namespace) -> int:
    """Describes a task or part: what it is, where it comes from and its settings, read from its source text."""
    print(listing.describe(options.name))
    return 0


def _add_list(command: argparse.ArgumentParser) -> None:
    command.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS))
    command.add_argument("--json", action="store_true", help="print JSON, for other programs")


def _add_info(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="name of a task or part, PACKAGE:NAME, or a package")


LIST = Command("list", "list installed tasks and parts", list_parts, _add_list)
INFO = Command("info", "describe a task or part", info, _add_info)
