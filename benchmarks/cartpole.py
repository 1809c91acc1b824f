"""A CartPole task over many seeds, each a whole process: how often it is solved, how surely, and how fast.

python benchmarks/cartpole.py dqn-cartpole --peer "PYTHON sb3_dqn.py zoo"
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile

import over_seeds
import processes

SOLVED = 475.0  # mean return, Gymnasium's reward threshold for CartPole-v1


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
    solved = sum(value >= SOLVED for value in returns)
    print(f"solved (mean return at least {SOLVED:g}): {solved} of {len(returns)}")
    print(over_seeds.summary(returns))
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
