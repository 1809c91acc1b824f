"""What checkpoints cost a run, in turn with one that takes none but the last; and how soon a run ends after a signal.

python benchmarks/checkpoints.py cost --pairs 5
python benchmarks/checkpoints.py signal
"""

from __future__ import annotations

import argparse
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import processes


def cost(options: argparse.Namespace) -> None:
    """Prints what a checkpoint every `period` steps adds to the training time and to the whole process."""
    ratios: dict[str, list[float]] = {"train": [], "total": []}
    for pair in range(options.pairs):
        seconds = {}
        for period in (0, options.period):
            with tempfile.TemporaryDirectory() as runs:
                changes = ["--set", f"checkpoint_period={period}"]
                seconds[period] = processes.run_task(pathlib.Path(runs) / "run", options.task, *changes)[0]["seconds"]
        for name, costs in ratios.items():
            costs.append(seconds[options.period][name] / seconds[0][name] - 1)
        times = ", ".join(f"{name} {seconds[0][name]:.2f} s and {seconds[options.period][name]:.2f} s" for name in ratios)
        print(f"pair {pair}: {times}", flush=True)
    for name, costs in ratios.items():
        print(f"{options.task}, every {options.period:,} steps: {name} {statistics.median(costs):+.1%} (median of pairs)")


def after_signal(_: argparse.Namespace) -> None:
    """Prints how long it takes from a SIGTERM to the end of the process, checkpoint included."""
    for task in ("dqn-cartpole", "classifier-digits", "dqn"):
        with tempfile.TemporaryDirectory() as runs:
            directory = pathlib.Path(runs) / "run"
            command = [sys.executable, "-m", "agentlab", "run", task, "--quiet", "--run-dir", str(directory), "--steps"]
            process = subprocess.Popen([*command, "1000000000"], stderr=subprocess.DEVNULL)
            metrics = directory / "metrics.jsonl"
            while not metrics.exists() or metrics.stat().st_size == 0:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            code = process.wait()
            names = [path.name for path in (directory / "checkpoints").iterdir()]
            print(f"{task}: exit code {code} after {time.monotonic() - begin:.2f} s, kept {', '.join(names)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("cost", "signal"))
    parser.add_argument("--task", default="dqn-cartpole")
    parser.add_argument("--period", type=int, default=10_000, help="environment steps (default: 10,000)")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    {"cost": cost, "signal": after_signal}[options.figure](options)


if __name__ == "__main__":
    main()
