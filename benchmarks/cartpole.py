"""A CartPole task over many seeds, each a whole process: how often it is solved, how surely, and how fast.

python benchmarks/cartpole.py dqn-cartpole --peer "PYTHON sb3_dqn.py zoo"
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import processes

SOLVED = 475.0  # mean return, Gymnasium's reward threshold for CartPole-v1
RESAMPLES = 10_000


def interquartile_mean(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns the mean of the middle half along the last axis: a quarter of the scores, rounded down, left out at each end."""
    ordered = np.sort(scores, axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(-1)


def bootstrap_interval(
    scores: Sequence[float], statistic: Callable[[np.ndarray], np.ndarray], confidence: float = 0.95
) -> tuple[float, float]:
    """Returns the percentile interval of `statistic` over runs (Efron 1979; Agarwal et al. 2021, arXiv:2108.13264)."""
    draws = np.random.default_rng(0).choice(np.asarray(scores), (RESAMPLES, len(scores)))
    low, high = np.quantile(statistic(draws), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def main() -> None:
    options = _options()
    returns, seconds, ratios = [], [], []
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            directory = pathlib.Path(runs) / str(seed)
            result, took = processes.run_task(directory, options.task, "--seed", str(seed))
            returns.append(result["evaluation"]["return_mean"])
            seconds.append(took)
            line = f"seed {seed}: return {returns[-1]:6.2f}, {result['steps']:,} steps, {took:6.2f} s"
            if options.peer:
                figures, peer_took = processes.run_peer(options.peer, str(seed))
                ratios.append(peer_took / took)
                line += f"; peer return {figures[-1]['return_mean']:6.2f}, {peer_took:6.2f} s, ratio {ratios[-1]:.2f}"
            print(line, flush=True)
    _summarise(returns, seconds, ratios)


def _summarise(returns: list[float], seconds: list[float], ratios: list[float]) -> None:
    low, high = bootstrap_interval(returns, interquartile_mean)
    solved = sum(value >= SOLVED for value in returns)
    print(f"solved (mean return at least {SOLVED:g}): {solved} of {len(returns)}")
    print(f"interquartile mean {interquartile_mean(returns):.2f}, 95% bootstrap interval [{low:.2f}, {high:.2f}]")
    print(f"median {statistics.median(seconds):.2f} s, the slowest {max(seconds):.2f} s")
    if ratios:
        print(f"the peer takes {statistics.median(ratios):.2f} times as long (median of pairs, the lowest {min(ratios):.2f})")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a task that is judged by CartPole's return")
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: 10)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--peer", metavar="COMMAND", help=f"{processes.PEER_HELP}, with return_mean in the last; takes the seed last"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
