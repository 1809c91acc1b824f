"""How far several runs are: a bar on a terminal, a line for each run that ends."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterable

from agentlab import errors
from agentlab.runs.files.run_directory import METRICS
from agentlab.sweeps.engine import USAGE_ERROR, Outcome
from agentlab.system import console, files, json_lines, terminal

TAIL_BYTES = 65_536  # of metrics.jsonl, in which the last whole line is
LOOKS = 20  # between two moves of the bar


class Progress:
    """Shows how far several runs are.

    Args:
        steps: of each run's budget.
        quiet: show nothing but failures.

    Attributes:
        failed: how many runs failed.
    """

    def __init__(self, steps: int, quiet: bool) -> None:
        self.failed = 0
        self._steps, self._quiet = steps, quiet
        self._directories: list[pathlib.Path] = []
        self._num_ended, self._looks = 0, 0
        self._bar = None
        if not quiet and terminal.is_terminal(sys.stderr) and not terminal.is_redirected(sys.stdout):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=0, unit="step", unit_scale=True, dynamic_ncols=True)

    @property
    def has_begun(self) -> bool:
        """Whether any run has come to the point where it makes its directory."""
        return any(map(os.path.lexists, self._directories))

    def add(self, directories: Iterable[pathlib.Path], num_finished: int) -> None:
        """Adds runs, of which some have finished before."""
        self._directories += directories
        self._num_ended += num_finished
        if self._bar is not None:
            self._bar.total = self._steps * len(self._directories)

    def show(self) -> None:
        """Moves the bar, about once a second."""
        self._looks += 1
        if self._looks % LOOKS == 0:
            self._move()

    def ended(self, outcome: Outcome) -> None:
        """Shows the end of a run."""
        self._num_ended += 1
        self.failed += outcome.code != 0
        text = failure(outcome) or f"done in {outcome.seconds:.1f} s"
        self.print(f"{outcome.job.name}: {text} ({self._num_ended} of {len(self._directories)})", bool(outcome.code))

    def print(self, line: str, is_failure: bool = False) -> None:
        """Prints a line, above the bar if there is one; where it is quiet, only failures."""
        if self._quiet and not is_failure:
            return
        if self._bar is not None:
            self._bar.write(errors.printable(line))
        else:
            console.print_line(errors.printable(line), sys.stderr if is_failure else sys.stdout)

    def close(self) -> None:
        """Ends the bar."""
        self._move()
        if self._bar is not None:
            self._bar.close()

    def _move(self) -> None:
        if self._bar is not None:
            self._bar.update(sum(map(last_step, self._directories)) - self._bar.n)


def check_could_begin(outcome: Outcome) -> None:
    """Raises UsageError if a run could not begin: one that comes before all others stands for them."""
    if outcome.code == USAGE_ERROR:
        raise errors.UsageError(f"{outcome.job.name.capitalize()} can't begin: {failure(outcome)}")


def failure(outcome: Outcome) -> str:
    """Returns what went wrong in a run, as a clause; empty if it finished."""
    if outcome.code < 0:
        return f"was killed by signal {-outcome.code}"
    if outcome.code:
        return outcome.last_line.removeprefix("agentlab: ") or f"ended with exit code {outcome.code}"
    return ""


def last_step(directory: pathlib.Path) -> int:
    """Returns the step of the last whole line of a run's metrics.jsonl, 0 if there is none."""
    try:
        with files.open_plain(directory / METRICS) as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = opened.read().rpartition(b"\n")[0].splitlines()
    except (files.UnreadableError, OSError):
        return 0
    step = (json_lines.object_of(lines[-1]) or {}).get("step") if lines else 0
    return int(step) if json_lines.is_number(step) else 0
