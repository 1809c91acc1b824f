"""A control task over many seeds, each a whole process, judged in Gymnasium's own environment: how well, how surely, how fast.

    python benchmarks/control.py ppo-acrobot --seeds 10
    python benchmarks/control.py ppo --environment MountainCar-v0 --seeds 5 --set num_environments=16
    python benchmarks/control.py dqn-cartpole --goal 475 --peer "PYTHON sb3_dqn.py zoo"

The mean return of a seed is that of the task's evaluation, 100 episodes unless the task says otherwise.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import tempfile

import processes

from agentlab.registry import plugins
from agentlab.reports.statistics import summary
from agentlab.task import Task


def main() -> None:
    options = _options()
    changes = _changes(options)
    returns, seconds, ratios = [], [], []
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            directory = pathlib.Path(runs) / str(seed)
            result, took = processes.run_task(directory, options.task, "--seed", str(seed), *changes)
            evaluation = result["evaluation"]
            returns.append(evaluation["return_mean"])
            seconds.append(took)
            line = f"seed {seed}: return {returns[-1]:8.2f} over {evaluation['episodes']} episodes, "
            line += f"{result['steps']:,} steps, {took:6.2f} s"
            if options.peer:
                figures, peer_took = processes.run_peer(options.peer, str(seed))
                ratios.append(peer_took / took)
                line += f"; peer return {figures[-1]['return_mean']:8.2f}, {peer_took:6.2f} s, ratio {ratios[-1]:.2f}"
            print(line, flush=True)
    _summarise(returns, seconds, ratios, options.goal)


def _summarise(returns: list[float], seconds: list[float], ratios: list[float], goal: float | None) -> None:
    if goal is not None:
        print(f"mean return at least {goal:g}: {sum(value >= goal for value in returns)} of {len(returns)}")
    print(f"{summary(returns)}, the lowest {min(returns):.2f}")
    print(f"median {statistics.median(seconds):.2f} s, the slowest {max(seconds):.2f} s")
    if ratios:
        print(f"the peer takes {statistics.median(ratios):.2f} times as long (median of pairs, the lowest {min(ratios):.2f})")


def _changes(options: argparse.Namespace) -> list[str]:
    """Returns the options of `agentlab run` with which a task is judged in a Gymnasium environment."""
    assignments = list(options.set)
    if options.environment:
        assignments += [f"environment.id={options.environment}", f"evaluation.environment.id={options.environment}"]
    task: Task = plugins.load("task", options.task)
    judged = task.evaluation.environment or task.environment
    if judged.name != "gymnasium":
        sys.exit(f"Task {options.task!r} is judged in {judged.name!r}; expected a task that is judged in 'gymnasium'.")
    if task.evaluation.environment is None:
        assignments = [text for text in assignments if not text.startswith("evaluation.environment")]
    steps = ["--steps", str(options.steps)] if options.steps else []
    return [*steps, *(word for assignment in assignments for word in ("--set", assignment))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a task that is judged in a Gymnasium environment")
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: 10)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--environment", metavar="ID", help="another Gymnasium environment, of a task that learns in one")
    parser.add_argument("--steps", type=int, help="budget in environment steps (default: the task's)")
    parser.add_argument("--set", metavar="PART.SETTING=VALUE", action="append", default=[], help="as of 'agentlab run'")
    parser.add_argument("--goal", type=float, metavar="RETURN", help="count the seeds that reach this mean return")
    parser.add_argument(
        "--peer", metavar="COMMAND", help=f"{processes.PEER_HELP}, with return_mean in the last; takes the seed last"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
