"""The command `agentlab evaluate`: a run's agent judged again."""

from __future__ import annotations

import argparse

from agentlab import configuration
from agentlab.program import process, results, tensorflow_setup
from agentlab.program.commands.command import Command
from agentlab.program.shared_options import add_changes, add_trust, check_positive


def evaluate(options: argparse.Namespace) -> int:
    """Evaluates the newest checkpoint of a run over whole episodes, as its task says."""
    check_positive("--episodes", options.episodes)
    tensorflow_setup.import_runs_for(options.run)
    from agentlab.runs.evaluating import evaluate_run

    with process.plain_warnings():
        task, result = evaluate_run(
            options.run, options.step, options.episodes, options.seed, quiet=False, trust=options.trust,
            changes=configuration.dotted(options.set),
        )  # fmt: skip
    print(f"{task.name}: {results.evaluation_text(result)}")
    return 0


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's directory")
    command.add_argument("--step", type=int, metavar="N", help="evaluate checkpoint step-N (default: the newest complete one)")
    command.add_argument("--episodes", type=int, help="number of episodes (default: as the task says)")
    command.add_argument("--seed", type=int, help="seed of the episodes (default: the run's)")
    add_changes(command)
    add_trust(command)


EVALUATE = Command("evaluate", "evaluate a finished run again", evaluate, _add_options)
