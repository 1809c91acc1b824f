"""Kills a sweep with SIGKILL at random moments, its driver or one of its runs, resumes it, and compares what it comes to.

python tests/helpers/killing_sweeps.py --runs 40 --kills 10 --longest 20
python tests/helpers/killing_sweeps.py --runs 6 --kills 4 --engine ray
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as the program sets it for the sweep's runs

import numpy as np

import agentlab
from agentlab.reports import collect, compare, tables
from agentlab.sweeps.toml_text import toml_text

CHANGES = {
    "model": {"hidden_units": [8]},
    "trainer": {"learning_starts": 1_000},
    "steps": 24_000,
    "report_period": 4_000,
    "checkpoint_period": 2_000,
    "evaluation": {"episodes": 2},
    "execution": "graph",
}
RATES = [1e-3, 3e-3]


def sweep_of(runs: int) -> dict[str, object]:
    """Returns a sweep of so many runs, two settings each with half as many seeds."""
    seeds = list(range(max(1, runs // len(RATES))))
    return {"task": "dqn-cartpole", "seeds": seeds, "changes": CHANGES, "grid": {"trainer.learning_rate": RATES}}


def start(folder: pathlib.Path, engine: str) -> subprocess.Popen:
    """Starts or resumes the sweep, in a directory of its own."""
    words = ["sweep", str(folder / "sweep.toml"), "--sweep-dir", str(folder / "sweep"), "--quiet", "--engine", engine]
    return subprocess.Popen([sys.executable, "-m", "agentlab", *words], stdout=subprocess.DEVNULL)


def restarted(driver: subprocess.Popen, folder: pathlib.Path, engine: str) -> subprocess.Popen:
    """Returns the driver; a new one if it has ended."""
    return driver if driver.poll() is None else start(folder, engine)


def running(folder: pathlib.Path) -> list[int]:
    """Returns the processes of the runs that have not ended, as their files say."""
    processes = []
    for file in folder.glob("sweep/runs/*/*/provenance.json"):
        with contextlib.suppress(ValueError, OSError):
            session = json.loads(file.read_text())["sessions"][-1]
            processes += [session["process"]] if session["status"] == "running" else []
    return [process for process in processes if pathlib.Path(f"/proc/{process}/cmdline").is_file()]


def kill_once(folder: pathlib.Path, driver: subprocess.Popen, victim: str, generator: random.Random, longest: float) -> bool:
    """Kills the driver, or one of the runs once some have begun, after some seconds; returns whether it was in time."""
    end = time.monotonic() + generator.random() * longest
    while driver.poll() is None:
        if time.monotonic() >= end and (processes := running(folder)):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(driver.pid if victim == "driver" else generator.choice(processes), signal.SIGKILL)
            if victim == "driver":
                driver.wait()
            return True
        time.sleep(0.02)
    return False


def kill_and_finish(
    folder: pathlib.Path, victims: list[str], generator: random.Random, engine: str = "local", longest: float = 3.0
) -> dict[str, int]:
    """Runs the sweep to its end, killing in between, at most so many seconds apart; returns how often it killed what.

    A run that was killed three times counts as failed, until the sweep is started again.
    """
    counts = dict.fromkeys(victims, 0)
    driver = start(folder, engine)
    for victim in victims:
        driver = restarted(driver, folder, engine)
        counts[victim] += kill_once(folder, driver, victim, generator, longest)
    driver = restarted(driver, folder, engine)
    if driver.wait() and (code := start(folder, engine).wait()):
        sys.exit(f"The sweep ended with code {code}.")
    return counts


def weights(directory: pathlib.Path) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in agentlab.load(directory).variables().items()}


def differences(folder: pathlib.Path, runs: int) -> list[str]:
    """Returns what differs between the runs of the sweep and the same runs by themselves: weights, scores, or the table."""
    definition, places = sweep_of(runs), {}
    for trial, rate in enumerate(RATES):
        for seed in definition["seeds"]:
            places[trial, seed] = folder / "alone" / str(trial) / str(seed)
            changes = {**CHANGES, "trainer": {**CHANGES["trainer"], "learning_rate": rate}}
            agentlab.run("dqn-cartpole", seed, changes, run_dir=places[trial, seed])
    wrong = []
    for (trial, seed), place in places.items():
        one, other = weights(folder / "sweep" / "runs" / str(trial) / str(seed)), weights(place)
        if not one or any(not np.array_equal(value, other[name]) for name, value in one.items()):
            wrong.append(f"weights of trial {trial}, seed {seed}")

    # The table without its column of seconds.
    one, other = (tables.text(compare(collect([folder / name]))).splitlines() for name in ("sweep", "alone"))
    if [line.rpartition(" ")[0].rstrip() for line in one] != [line.rpartition(" ")[0].rstrip() for line in other]:
        wrong.append("the table")
    for line in (folder / "sweep" / "trials.jsonl").read_text().splitlines():
        data = json.loads(line)
        for seed, score in data["scores"].items():
            result = json.loads((places[data["trial"], int(seed)] / "result.json").read_text())
            if result["evaluation"]["return_mean"] != score or data["status"] != "finished":
                wrong.append(f"the score of trial {data['trial']}, seed {seed}")
    return wrong


def prepare(folder: pathlib.Path, runs: int) -> None:
    (folder / "sweep.toml").write_text(toml_text(sweep_of(runs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--longest", type=float, default=3.0, metavar="SECONDS", help="from one kill to the next")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    options = parser.parse_args()
    generator, begin = random.Random(options.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(folder, options.runs)
        victims = [generator.choice(["driver", "run"]) for _ in range(options.kills)]
        counts = kill_and_finish(folder, victims, generator, options.engine, options.longest)
        wrong = differences(folder, options.runs)
    if wrong:
        sys.exit(f"These differ: {', '.join(wrong)}.")
    print(
        f"{options.runs} runs, {options.engine}, killed {counts}: the same weights and table ({time.monotonic() - begin:.0f} s)"
    )


if __name__ == "__main__":
    main()
