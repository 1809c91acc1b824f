"""A command of the program, and a group of them: their parsers, and what they do."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable

import attrs

import agentlab
from agentlab.program import shared_options
from agentlab.program.argument_parser import Parser


@attrs.frozen
class Command:
    """A command, such as `agentlab run`.

    Attributes:
        name: the word that users type.
        summary: a few words, for the list of commands.
        function: does it and returns the exit code; its docstring describes the command in `--help`.
        add_options: adds the options to the command's parser, after those that every command has.
        needs_output: whether it ends when nothing can be written to standard output, as most do, which exist for that.
    """

    name: str
    summary: str
    function: Callable[[argparse.Namespace], int]
    add_options: Callable[[argparse.ArgumentParser], None]
    needs_output: bool = True

    def add_to(self, commands: argparse._SubParsersAction) -> None:
        """Adds the command's parser to those of `commands`."""
        parser = commands.add_parser(self.name, help=self.summary, description=inspect.getdoc(self.function))
        shared_options.add_common(parser)
        self.add_options(parser)
        parser.set_defaults(function=self.function, needs_output=self.needs_output, parser=parser)


@attrs.frozen
class Group:
    """Commands after a word that they share, such as `agentlab plugin new`.

    Attributes:
        name: the word that users type.
        summary: a few words, for the list of commands.
        description: a sentence, for `--help`.
        commands: of the group, in the order of `--help`.
    """

    name: str
    summary: str
    description: str
    commands: tuple[Command, ...]

    def add_to(self, commands: argparse._SubParsersAction) -> None:
        """Adds the parsers of the group to those of `commands`."""
        parser = commands.add_parser(self.name, help=self.summary, description=self.description)
        parser.set_defaults(function=show_help, parser=parser)
        parsers = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
        for command in self.commands:
            command.add_to(parsers)


def show_help(options: argparse.Namespace) -> int:
    """Shows what there is, or the version, where no command is named."""
    print(f"agentlab {agentlab.__version__}" if options.version else options.parser.format_help().rstrip())
    return 0
