"""What each of DQN's improvements brings on a task, over seeds, at equal steps.

    python benchmarks/family.py dqn-minatar-breakout --steps 100000 --jobs 2 --runs runs/family \\
        --with-categorical trainer.optimizer=adam --with-categorical trainer.learning_rate=2.5e-4
    python benchmarks/family.py dqn-cartpole-50k --only plain rainbow --set evaluation.stop_return=none

Each improvement is compared by itself, all of them together (Rainbow), and all but one. Each run is a whole process, and
of each the mean return of the final evaluation counts. The probability of improvement is that of agentlab.reports.statistics.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import pathlib
import tempfile

import numpy as np
import processes

from agentlab.reports.statistics import improvement, summary

CATEGORICAL = ["trainer.num_atoms=51", "trainer.minimum_return=0", "trainer.maximum_return={maximum}"]
NOISY = ["model.noise=0.5", "sampler.name=greedy"]
PRIORITISED = ["memory.name=prioritized-replay", "memory.capacity={capacity}", "memory.batch_size={batch_size}"]
EACH = {
    "double": ["trainer.double=true"],
    "n-step": ["trainer.num_steps=3"],
    "dueling": ["model.dueling=true"],
    "prioritised": PRIORITISED,
    "categorical": CATEGORICAL,
    "noisy": NOISY,
}
VARIANTS = {  # name: the improvements it has
    "plain": [],
    **{name: [name] for name in EACH},
    "rainbow": list(EACH),
    **{f"without-{left_out}": [name for name in EACH if name != left_out] for left_out in EACH},
}


def changes_of(variant: str, options: argparse.Namespace) -> list[str]:
    """Returns the settings of a variant."""
    known = {"maximum": options.maximum, "capacity": options.capacity, "batch_size": options.batch_size}
    changes = [change.format(**known) for name in VARIANTS[variant] for change in EACH[name]]
    return changes + (options.with_categorical if "categorical" in VARIANTS[variant] else []) + options.set


def run(directory: pathlib.Path, task: str, seed: int, steps: int | None, changes: list[str]) -> tuple[float, float]:
    """Returns the final evaluation's mean return, and the mean of the training returns over the run; a finished one is read."""
    options = ["--seed", str(seed), *(["--steps", str(steps)] if steps else [])]
    options += [word for change in changes for word in ("--set", change)]
    finished = directory / "result.json"
    if not finished.exists():
        processes.run_task(directory, task, *options)
    result = json.loads(finished.read_text("utf-8"))
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines()]
    returns = [line["return_mean"] for line in lines if line.get("return_mean") is not None]
    return result["evaluation"]["return_mean"], float(np.mean(returns))


def main() -> None:
    options = _options()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with contextlib.ExitStack() as stack:
        runs = options.runs or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        jobs = stack.enter_context(concurrent.futures.ThreadPoolExecutor(options.jobs))

        def one(name: str, seed: int) -> float:
            final, training = run(runs / f"{name}-{seed}", options.task, seed, options.steps, changes_of(name, options))
            print(f"seed {seed}: {name}: return {final:.2f}, {training:.2f} over the run", flush=True)
            return final

        waiting = {(name, seed): jobs.submit(one, name, seed) for seed in seeds for name in options.only}
        returns = {name: [waiting[name, seed].result() for seed in seeds] for name in options.only}
    _summarise(returns)


def _summarise(returns_by_name: dict[str, list[float]]) -> None:
    for name, returns in returns_by_name.items():
        line = f"{name}: {summary(returns)}"
        for other in ("plain", "rainbow"):
            if other in returns_by_name and other != name:
                line += f", better than {other} with probability {improvement(returns, returns_by_name[other]):.2f}"
        print(line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a DQN task without improvements but what it comes with")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="(default: all)")
    parser.add_argument("--steps", type=int, help="environment steps (default: the task's)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--runs", type=pathlib.Path, help="directory to keep runs in; what is there is not run again")
    parser.add_argument("--maximum", type=float, default=20.0, help="the highest return, discounted, of C51 (default: 20)")
    parser.add_argument("--capacity", type=int, default=100_000, help="of prioritised replay (default: 100,000)")
    parser.add_argument("--batch-size", type=int, default=32, help="of prioritised replay (default: 32)")
    parser.add_argument(
        "--with-categorical",
        action="append",
        default=[],
        metavar="PART.SETTING=VALUE",
        help="where C51 is used, whose loss may want another optimizer than that of DQN",
    )
    parser.add_argument("--set", action="append", default=[], metavar="PART.SETTING=VALUE", help="for all of them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
