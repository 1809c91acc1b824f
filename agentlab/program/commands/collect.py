"""The command `agentlab collect`: what agents do, written as a Minari data set."""

from __future__ import annotations

import argparse
import contextlib

from agentlab import configuration
from agentlab.program import process, tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import add_changes, add_trust


def collect(options: argparse.Namespace) -> int:
    """Records whole episodes of a run's agent, acting as in its evaluations, as a Minari data set.

    With several runs or checkpoints, the data set is a mix of all of them.
    """
    tensorflow_setup.import_runs_for(options.runs[0])
    from agentlab.runs import collecting
    from agentlab.runs.trackers.progress import Progress

    sampler = {"evaluation": {"sampler": {"name": options.sampler}}} if options.sampler else {}
    progress = Progress()
    with process.stop_on_signals() as stop, process.plain_warnings(), contextlib.ExitStack() as leaving:
        leaving.callback(progress.end, None)
        collection = collecting.collect(
            options.runs, options.output, options.episodes, step=options.step, seed=options.seed,
            changes=configuration.merged(sampler, configuration.dotted(options.set)),
            reference_returns=options.reference_returns, trust=options.trust, show=progress.evaluation,
            stop=lambda: bool(stop),
        )  # fmt: skip
    print(
        f"{collection.episodes:,} episodes of {collection.steps:,} steps in all, return {collection.return_mean:.2f} +- "
        f"{collection.return_std:.2f}, in {collection.path}"
    )
    return 0


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("runs", nargs="+", metavar="RUN", help="a run's directory; several are recorded one after the other")
    command.add_argument(
        "--output", required=True, metavar="NAME",
        help="an id such as cartpole/expert-v0, in Minari's folder, or the path of a new directory",
    )  # fmt: skip
    command.add_argument("--episodes", type=int, help="number of episodes of each agent (default: as in its task's evaluation)")
    command.add_argument(
        "--step", type=int, nargs="+", metavar="N", help="checkpoints step-N, each an agent (default: the newest complete one)"
    )
    command.add_argument("--sampler", metavar="NAME", help="sampler that chooses the actions (default: that of evaluations)")
    command.add_argument("--seed", type=int, help="seed of the episodes (default: the run's)")
    command.add_argument(
        "--reference-returns", type=float, nargs=2, metavar=("RANDOM", "GOOD"), help="returns with a score of 0 and of 1"
    )
    add_changes(command)
    add_trust(command, "a run's config.json")


COLLECT = Command("collect", "record agents as a Minari data set", collect, _add_options)
