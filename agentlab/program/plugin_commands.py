"""The commands for plugin authors, `agentlab plugin new` and `check`, and the option `--plugin` of every command."""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
from collections.abc import Callable

from agentlab import configuration
from agentlab.program import scaffold, tensorflow_setup
from agentlab.registry import plugins


def add(commands: argparse._SubParsersAction, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands to `commands`, a set of subparsers, by `command(name, function, text, commands)`."""
    written = command("new", new, "write a package that plugs in, ready to publish", commands)
    written.add_argument("name", metavar="NAME", help="name of the package, such as my-plugin")
    written.add_argument(
        "--kind",
        choices=tuple(scaffold.TEMPLATES),
        default="environment",
        help="a kind of part, or algorithm: a trainer with its memory and model (default: environment)",
    )
    written.add_argument("--directory", metavar="DIR", default=".", help="where the new directory NAME goes (default: here)")
    checked = command("check", check, "test a plugin against its contracts, line by line", commands)
    checked.add_argument("name", metavar="NAME", help="name of a package, task or part, or PACKAGE:NAME")
    checked.add_argument("--kind", choices=tuple(plugins.GROUPS), help="kind of the part, if several kinds have this NAME")
    checked.add_argument(
        "--set", action="append", default=[], metavar="SETTING=VALUE", help="change a setting of the part; may be repeated"
    )


def add_files(files: list[str]) -> None:
    """Offers the parts of single files in this process, and says which parts of packages they stand in front of."""
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
    """Tests parts and tasks against their contracts, line by line; the exit code is 1 if a line is broken."""
    settings = configuration.dotted(options.set)
    from agentlab.testing.checks import waiting

    with waiting.show_status("  importing TensorFlow"):
        tensorflow_setup.import_runs()
        from agentlab.testing.checks import report

    return report.check(options.name, settings, debug=options.debug, kind=options.kind)
