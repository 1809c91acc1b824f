"""The commands for plugin authors: `agentlab plugin new` and `agentlab plugin check`."""

from __future__ import annotations

import argparse
import pathlib
import shlex

from agentlab import configuration
from agentlab.program import scaffold, tensorflow_setup
from agentlab.program.commands.command import Command, Group
from agentlab.registry import packages


def new(options: argparse.Namespace) -> int:
    """Writes a package with a working part or algorithm, its tests, a task that shows it, and what publishing takes."""
    files = scaffold.write(options.name, options.kind, pathlib.Path(options.directory))
    place = pathlib.Path(options.directory) / options.name
    print(f"Wrote {len(files)} files to {place}. Next:")
    print(f"  cd {shlex.quote(str(place))} && pip install -e '.[test]' && pytest")
    print(f"  agentlab run {options.name}")
    print(f"  agentlab plugin check {options.name}")
    return 0


def check(options: argparse.Namespace) -> int:
    """Tests parts and tasks against their contracts, rule by rule; the exit code is 1 if a rule failed."""
    settings = configuration.dotted(options.set)
    tensorflow_setup.import_runs()
    from agentlab.testing.checks import report

    return report.check(options.name, settings, debug=options.debug, kind=options.kind)


def _add_new(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="name of the package, such as my-plugin")
    command.add_argument(
        "--kind",
        choices=tuple(scaffold.TEMPLATES),
        default="environment",
        help="a kind of part, or algorithm: a trainer with its memory and model (default: environment)",
    )
    command.add_argument("--directory", metavar="DIR", default=".", help="where the new directory NAME goes (default: here)")


def _add_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="name of a package, task or part, or PACKAGE:NAME")
    command.add_argument("--kind", choices=tuple(packages.GROUPS), help="kind of the part, if several kinds have this NAME")
    command.add_argument(
        "--set", action="append", default=[], metavar="SETTING=VALUE", help="change a setting of the part; may be repeated"
    )


NEW = Command("new", "write a package that plugs in, ready to publish", new, _add_new)
CHECK = Command("check", "test a plugin against its contracts, rule by rule", check, _add_check)
PLUGIN = Group("plugin", "write a plugin, or check one", "Writes or checks plugins.", (NEW, CHECK))
