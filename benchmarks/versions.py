"""The same training by two versions of agentlab, each in a virtual environment of its own, in short slices in turn.

    python benchmarks/versions.py OLD/bin/python NEW/bin/python dqn --environment gymnasium --steps 30000

While one runs, the other is stopped, so both see the same machine: one whose virtual cores are shared with others can be half
as fast from one minute to the next. The rate is that of the steps between two reports, by the time that a process ran.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import processes

SLICE = 0.4  # seconds
LOOK = 0.002  # seconds between two looks at a process's metrics
REPORTS = 20


class Sliced:
    """A run in a process that only goes on while it is asked to.

    Args:
        python: interpreter of the version.
        directory: of the run, which is made.
        words: of the command line, after `agentlab run`.

    Attributes:
        reports: (step, seconds that the process had run) of each line of metrics, read when it was written.
    """

    def __init__(self, python: str, directory: pathlib.Path, words: list[str]) -> None:
        self.reports: list[tuple[int, float]] = []
        self._metrics = directory / "metrics.jsonl"
        self._seconds = 0.0
        self._errors = directory.with_suffix(".errors")
        command = processes.run_command(directory, *words, python=python)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=errors, cwd=directory.parent, start_new_session=True
            )
        self._send(signal.SIGSTOP)

    def go_on(self, seconds: float) -> bool:
        """Lets it run; returns whether it is still under way then."""
        self._send(signal.SIGCONT)
        begin = time.perf_counter()
        while (passed := time.perf_counter() - begin) < seconds:
            self._look(self._seconds + passed)
            if self._process.poll() is not None:
                self._finish()
                return False
            time.sleep(LOOK)
        self._send(signal.SIGSTOP)
        self._seconds += time.perf_counter() - begin
        return True

    def rate(self, warm_up: int) -> float:
        """Returns the steps per second from the first report after `warm_up` steps to the last."""
        reports = [report for report in self.reports if report[0] >= warm_up]
        (first_step, begin), (last_step, end) = reports[0], reports[-1]
        return (last_step - first_step) / (end - begin)

    def end(self) -> None:
        """Ends it, wherever it is."""
        if self._process.poll() is None:
            self._send(signal.SIGKILL)
            self._process.wait()

    def _look(self, seconds: float) -> None:
        text = self._metrics.read_text("utf-8") if self._metrics.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()  # one may be written just now
        if len(lines) > len(self.reports):
            self.reports.append((json.loads(lines[-1])["step"], seconds))

    def _finish(self) -> None:
        if self._process.returncode:
            sys.exit(self._errors.read_text("utf-8"))

    def _send(self, number: int) -> None:
        os.killpg(self._process.pid, number)


def compare(pythons: list[str], words: list[list[str]], warm_up: int) -> list[float]:
    """Returns the rates of both versions, from one run each."""
    with tempfile.TemporaryDirectory() as runs:
        sliced = [Sliced(python, pathlib.Path(runs) / f"run{index}", words[index]) for index, python in enumerate(pythons)]
        try:
            # The slower one need not finish: both were under way equally long.
            while sliced[0].go_on(SLICE) and sliced[1].go_on(SLICE):
                pass
        finally:
            for run in sliced:
                run.end()
    return [run.rate(warm_up) for run in sliced]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="the Python interpreter of one version, such as OLD/bin/python")
    parser.add_argument("second", help="that of the other")
    parser.add_argument("task", help="a task that both know")
    parser.add_argument("--environment", metavar="NAME", help="as of 'agentlab run'")
    parser.add_argument("--steps", type=int, default=30_000, help="budget in environment steps (default: 30,000)")
    parser.add_argument("--warm-up", type=int, default=5_000, help="steps before the first report that counts (default: 5,000)")
    parser.add_argument("--set", action="append", default=[], metavar="PART.SETTING=VALUE", help="for both")
    parser.add_argument("--set-second", action="append", default=[], metavar="PART.SETTING=VALUE", help="for the second alone")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    options = parser.parse_args()
    if options.warm_up + 2 * (options.steps // REPORTS) > options.steps:
        parser.error(
            f"{options.warm_up:,} steps to warm up leave no two reports in {options.steps:,} steps; set a lower --warm-up"
        )

    # Both get the same budget and report equally often.
    budget = ["--steps", str(options.steps), "--set", f"report_period={max(1, options.steps // REPORTS)}"]
    environment = ["--environment", options.environment] if options.environment else []
    changes = [word for change in options.set for word in ("--set", change)]
    second = [word for change in options.set_second for word in ("--set", change)]
    common = [options.task, *environment, *budget, *changes]
    ratios = []
    for turn in range(options.rounds):
        rates = compare([options.first, options.second], [common, [*common, *second]], options.warm_up)
        ratios.append(rates[1] / rates[0])
        print(f"round {turn}: {rates[0]:,.0f} and {rates[1]:,.0f} steps/s: {ratios[-1]:.3f} times as fast", flush=True)
    print(f"median: {statistics.median(ratios):.3f} times as fast")


if __name__ == "__main__":
    main()
