"""The command line program `agentlab`."""

from __future__ import annotations

import argparse
import contextlib
import sys

from agentlab import errors
from agentlab.program import process, shared_options
from agentlab.program.argument_parser import Parser
from agentlab.program.commands import COMMANDS
from agentlab.program.commands.command import show_help
from agentlab.system import console, machine, terminal
from agentlab.system.processes import clock, supervision

EXAMPLES = """examples:
  agentlab run dqn-cartpole                                train CartPole in seconds
  agentlab run auto --environment Acrobot-v1               any Gymnasium environment
  agentlab play runs/dqn-cartpole/0-1 --video cartpole.gif
  agentlab sample runs/char-rnn/0-1 --temperature 0.2 0.5 1.0 1.2
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code: 0 done, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted."""
    # The age of the process tells how long Python took to start.
    age, code = machine.process_age() if arguments is None else 0.0, 1
    process.prepare_streams()
    if arguments is None:
        supervision.begin()
    try:
        with clock.of_program(age):
            code = _run_command(sys.argv[1:] if arguments is None else arguments)
            return code
    finally:
        process.end_streams()
        if arguments is None:
            process.limit_ending(code)


def _run_command(arguments: list[str]) -> int:
    """Runs a command and returns the program's exit code; prints what went wrong."""
    debug, code = "--debug" in arguments, 0
    try:
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")

        # Most commands exist for their output; a run continues even if nobody reads it.
        with process.checked_output() if options.needs_output else contextlib.nullcontext():
            shared_options.offer_files(options.plugin)
            code = options.function(options) or 0
    except errors.AgentlabError as error:
        if debug:
            raise
        _print_error(" ".join(str(error).split()))
        return error.exit_code
    except KeyboardInterrupt:
        _print_error("Interrupted; nothing was saved.")
        return 130
    except BrokenPipeError:  # the reader has left
        pass

    # One sentence for users; the traceback is for --debug.
    except Exception as error:
        if debug:
            raise
        text = errors.printable(" ".join(str(error).split())[:300])
        _print_error(errors.sentence(f"Unexpected {type(error).__name__}: {text}. Run again with --debug for the traceback."))
        code = 1
    return code


def _print_error(sentence: str) -> None:
    console.print_line(terminal.wrapped(f"agentlab: {sentence}", stream=sys.stderr), sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="agentlab",
        description="Reinforcement learning and sequence agents, run by one step/reward loop.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="store_true", help="show the version")
    parser.set_defaults(function=show_help, needs_output=True, parser=parser, plugin=[])
    parsers = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add_to(parsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
