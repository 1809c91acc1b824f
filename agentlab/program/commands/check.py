"""The command `agentlab check`: tries out an environment before anything is trained in it."""

from __future__ import annotations

import argparse
import shlex
import traceback
from typing import TYPE_CHECKING

from agentlab import configuration
from agentlab.program import process, tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.system import terminal

if TYPE_CHECKING:
    from agentlab.testing.environment_check import EnvironmentReport


def check(options: argparse.Namespace) -> int:
    """Tests an environment with random actions, rule by rule, and says what an agent sees in it.

    The exit code is 1 if a rule failed.
    """
    # Wrong settings are reported before TensorFlow is imported, which takes seconds.
    settings = configuration.dotted(options.set)
    from agentlab.registry import generic_tasks

    tensorflow_setup.import_runs(generic_tasks.any_task())
    from agentlab.testing import environment_check
    from agentlab.testing.checks.report import text_of

    # Each line is printed as its check ends.
    with process.plain_warnings():
        checking = environment_check.EnvironmentCheck(options.environment, settings)
        print(checking.name)
        for line in checking.lines():
            print(text_of(line), flush=True)
            if options.debug and line.error is not None:
                traceback.print_exception(line.error)
        report = checking.report()
    _print_facts(report)
    if report.is_fine:
        print(f"\nTrain an agent in it: agentlab run auto --environment {shlex.quote(options.environment)}")
    return 0 if report.is_fine else 1


def _print_facts(report: EnvironmentReport) -> None:
    # Names in a column, texts beside them.
    if not report.facts:
        return
    print("\nAn agent")
    width = max(map(len, report.facts))
    for name, text in report.facts.items():
        print(terminal.wrapped(f"  {name:<{width}}  {text}", hanging=width + 4))


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "environment",
        metavar="ENVIRONMENT",
        help="a file (my_env.py:MyEnv), module:ID, a Gymnasium id, or an installed environment",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="change a setting of the environment; may be repeated",
    )


CHECK = Command("check", "test your own environment", check, _add_options)
