"""What each of DQN's improvements brings on a task, over seeds, at equal steps.

    python benchmarks/family.py dqn-minatar-breakout --steps 200000 --with-categorical trainer.optimizer=adam \\
        --with-categorical trainer.learning_rate=2.5e-4
    python benchmarks/family.py dqn-cartpole-50k --only plain rainbow --set evaluation.stop_return=none

Each run is a whole process, and of each the mean return of the final evaluation counts. The probability of improvement is the
share of pairs of seeds, one of each kind, in which the return is higher, ties counting half (Agarwal et al. 2021).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

import numpy as np
import processes
from cartpole import bootstrap_interval, interquartile_mean

CATEGORICAL = ["trainer.num_atoms=51", "trainer.minimum_return=0", "trainer.maximum_return={maximum}"]
NOISY = ["model.noise=0.5", "sampler.name=greedy"]
PRIORITISED = ["memory.name=prioritized-replay", "memory.capacity={capacity}", "memory.batch_size={batch_size}"]
EACH = {
    "plain": [],
    "double": ["trainer.double=true"],
    "n-step": ["trainer.num_steps=3"],
    "dueling": ["model.dueling=true"],
    "prioritised": PRIORITISED,
    "categorical": CATEGORICAL,
    "noisy": NOISY,
}
VARIANTS = {**EACH, "rainbow": [change for changes in EACH.values() for change in changes]}
WITH_CATEGORICAL = ("categorical", "rainbow")


def run(task: str, seed: int, steps: int | None, changes: list[str]) -> tuple[float, float]:
    """Returns the final evaluation's mean return, and the mean of the training returns over the run."""
    options = ["--seed", str(seed), *(["--steps", str(steps)] if steps else [])]
    options += [word for change in changes for word in ("--set", change)]
    with tempfile.TemporaryDirectory() as runs:
        directory = pathlib.Path(runs) / "run"
        result, _ = processes.run_task(directory, task, *options)
        lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines()]
    returns = [line["return_mean"] for line in lines if line.get("return_mean") is not None]
    return result["evaluation"]["return_mean"], float(np.mean(returns))


def improvement(one: list[float], other: list[float]) -> float:
    """Returns the probability that a run of `one` has a higher return than a run of `other`."""
    difference = np.subtract.outer(one, other)
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def main() -> None:
    options = _options()
    known = {"maximum": options.maximum, "capacity": options.capacity, "batch_size": options.batch_size}
    found: dict[str, list[float]] = {name: [] for name in options.only}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in options.only:
            changes = [change.format(**known) for change in VARIANTS[name]]
            changes += options.with_categorical if name in WITH_CATEGORICAL else []
            final, over_the_run = run(options.task, seed, options.steps, [*changes, *options.set])
            found[name].append(final)
            print(f"seed {seed}: {name}: return {final:.2f}, {over_the_run:.2f} over the run", flush=True)
    for name, returns in found.items():
        low, high = bootstrap_interval(returns, interquartile_mean)
        line = f"{name}: interquartile mean {interquartile_mean(returns):.2f}, 95% bootstrap interval [{low:.2f}, {high:.2f}]"
        if name != options.only[0]:
            line += f", better than {options.only[0]} with probability {improvement(returns, found[options.only[0]]):.2f}"
        print(line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a DQN task without improvements but what it comes with")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="(default: all)")
    parser.add_argument("--steps", type=int, help="environment steps (default: the task's)")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
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
