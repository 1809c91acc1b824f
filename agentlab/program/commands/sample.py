"""The command `agentlab sample`: text that a run's agent writes."""

from __future__ import annotations

import argparse
import sys

from agentlab.program import tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import add_trust, check_positive


def sample(options: argparse.Namespace) -> int:
    """Writes text with a run's agent: it acts in `echo`, where the next observation is its last action."""
    check_positive("--length", options.length)
    check_positive("--num", options.num)
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.program.sample import write

    narrowed = {"top_k": options.top_k, "top_p": options.top_p}
    chosen = {"prompt": options.prompt, "seed": options.seed, "num": options.num, "trust": options.trust}
    write(options.run, options.length, options.temperature, sys.stdout, **narrowed, **chosen)
    return 0


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's directory")
    command.add_argument("--length", type=int, default=400, help="characters to write (default: 400)")
    command.add_argument(
        "--temperature", type=float, nargs="+", default=[1.0], metavar="T",
        help="0 is greedy, 1 is the model's own, higher is more varied; several write a text at each (default: 1)",
    )  # fmt: skip
    command.add_argument("--top-k", type=int, metavar="K", help="draw from the K most probable characters")
    command.add_argument("--top-p", type=float, metavar="P", help="draw from the most probable ones that make up P, 0 to 1")
    command.add_argument("--prompt", default="", metavar="TEXT", help="text to continue (default: a line break)")
    command.add_argument("--seed", type=int, default=0, help="determines the text (default: 0)")
    command.add_argument("--num", type=int, default=1, metavar="N", help="number of texts at each temperature (default: 1)")
    add_trust(command)


SAMPLE = Command("sample", "write text with an agent trained on text", sample, _add_options)
