"""Runs agentlab and a peer as whole processes, and reads what they found."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

PEER_HELP = "a command that does the same work with another library and prints its figures as lines of JSON"


def run_command(directory: pathlib.Path, *words: str, python: str = sys.executable) -> list[str]:
    """Returns the command `agentlab run WORDS` into `directory`, by the agentlab of that Python."""
    return [python, "-m", "agentlab", "run", *words, "--quiet", "--run-dir", str(directory)]


def run_task(directory: pathlib.Path, task: str, *options: str) -> tuple[dict[str, Any], float]:
    """Runs `agentlab run TASK OPTIONS` into `directory`; returns result.json and the seconds from process start to exit."""
    seconds = _timed(run_command(directory, task, *options))[1]
    return json.loads((directory / "result.json").read_text("utf-8")), seconds


def timed_run(directory: pathlib.Path, task: str, *options: str, settings: Mapping[str, object]) -> float:
    """Runs a task in a process of its own; returns its steps per second from its first line of metrics to its last."""
    run_task(directory, task, *options, *as_options(settings))
    return rate_of(directory)


def as_options(settings: Mapping[str, object]) -> list[str]:
    """Returns the options of `agentlab run` for settings of a task's parts."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def rate_of(run: pathlib.Path, what: str = "step") -> float:
    """Returns a run's environment steps per second, or updates ("update"), from its first line of metrics to its last."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    first, last = lines[0], lines[-1]
    return (last[what] - first[what]) / (last["seconds"] - first["seconds"])


def peak_memory(command: list[str]) -> float:
    """Runs a command; returns its peak resident memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{shlex.join(command)} failed.")
    return usage.ru_maxrss / 1_024


def run_peer(command: str, *arguments: str) -> tuple[list[dict[str, Any]], float]:
    """Runs a peer's command line; returns the objects it printed, one a line, and the seconds from process start to exit."""
    printed, seconds = _timed([*shlex.split(command), *arguments])
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")], seconds


def rate_parser(description: str, *keys: str) -> argparse.ArgumentParser:
    """Returns a parser of the options of `compare_rates`; `keys` are what a peer's figure says besides its rate."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often, in turn with the peer (default: 3)")
    figures = ", ".join([*keys, "env_steps_per_second"])
    parser.add_argument("--peer", metavar="COMMAND", help=f"{PEER_HELP}: {figures}")
    return parser


def compare_rates(
    options: argparse.Namespace, cases: dict[str, dict[str, Any]], steps_per_second: Callable[[str, pathlib.Path], float]
) -> None:
    """Prints environment steps per second of some cases, in turn with a peer if the command line names one.

    Args:
        options: of the command line, by a `rate_parser`.
        cases: by name, what the peer's figure for a case says of it, such as its period.
        steps_per_second: runs a case in a process of its own, with a directory that is to be made; returns its rate.
    """
    rates: dict[str, list[float]] = {case: [] for case in cases}
    ratios: dict[str, list[float]] = {case: [] for case in cases}
    for turn in range(options.rounds):
        figures = run_peer(options.peer)[0] if options.peer else []
        for case, described in cases.items():
            with tempfile.TemporaryDirectory() as runs:
                rates[case].append(steps_per_second(case, pathlib.Path(runs) / "run"))
            line = f"round {turn}: {case}: {rates[case][-1]:,.0f} steps/s"
            for peer in (figure["env_steps_per_second"] for figure in figures if described.items() <= figure.items()):
                ratios[case].append(rates[case][-1] / peer)
                line += f"; peer {peer:,.0f}, ratio {ratios[case][-1]:.2f}"
            print(line, flush=True)
    for case in cases:
        compared = f", {statistics.median(ratios[case]):.2f} times the peer" if ratios[case] else ""
        print(f"{case}: median {statistics.median(rates[case]):,.0f} steps/s{compared}")


def _timed(command: list[str]) -> tuple[str, float]:
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout, seconds
