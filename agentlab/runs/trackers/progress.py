"""Progress display of a run."""

from __future__ import annotations

import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from agentlab.runs.session.display import Display
from agentlab.system import console, terminal
from agentlab.tracker import Metrics, TrackedRun, Tracker

LINE_SECONDS = 5.0  # between two lines in a pipe about what is under way
DRAWING_SECONDS = 0.2  # between two changes on a terminal
UNKNOWN_WIDTH = 100  # columns of the bar on a terminal that does not tell its own
NARROW = 100  # columns below which the bar has no room for the loss
SLOW_PHASES = ("evaluate", "save")  # which a line in a pipe announces, if there was none for a while
WORDS = {"build": "building", "compile": "compiling", "train": "training", "evaluate": "evaluating", "save": "saving"}


class Progress(Tracker, Display):
    """Shows a run's progress: a bar on a terminal, plain lines in a pipe or a file, nothing if quiet.

    What can't be shown is dropped: a reader may leave, a terminal close and a disk fill up without ending the run.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        on_terminal = terminal.is_terminal(sys.stderr) and not terminal.is_redirected(sys.stdout)
        self._quiet = quiet
        self._has_bar = not quiet and (on_terminal or _in_notebook())
        self._has_status = not quiet and on_terminal
        self._headline, self._phase = "return_mean", ""
        self._total = 0
        self._bar: Any = None
        self._status: terminal.Status | None = None
        self._last_evaluation = self._last_line = time.monotonic()

    # What the run does.

    def open(self, directory: pathlib.Path, way: str) -> None:
        if not self._quiet:
            self._print(terminal.wrapped(f"{way}. Files in {directory}"))

    def phase(self, name: str) -> None:
        self._end_status()
        if self._bar is not None:
            if name not in ("", self._phase):
                self._bar.set_description_str(WORDS[name])
        elif self._has_status and name not in ("", "train"):
            self._status = terminal.Status(WORDS[name])
        elif not self._quiet and name in SLOW_PHASES and time.monotonic() - self._last_line >= LINE_SECONDS:
            self._print(WORDS[name])
        self._phase = name or self._phase

    def step(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def evaluation(self, ended: int, episodes: int, steps: int) -> None:
        """Shows how far an evaluation is: on a terminal at once, in a pipe where it takes long."""
        now, period = time.monotonic(), DRAWING_SECONDS if self._has_status else LINE_SECONDS
        if steps == 1:
            self._last_evaluation = now
        if now - self._last_evaluation < period or self._quiet:
            return

        # No more than a line every few seconds.
        self._last_evaluation = now
        line = f"evaluating: {ended:,} of {episodes:,} episodes have ended after {steps:,} steps"
        if self._bar is not None:
            self._bar.set_postfix_str(line)
        elif self._status is not None:
            self._status.text = line
        elif self._has_status:
            self._status = terminal.Status(line)
        else:
            self._print(line)

    # What it reports.

    def begin(self, run: TrackedRun) -> None:
        """Shows the bar, on standard error; lines in a pipe go to standard output and have no beginning."""
        self._total, self._headline = run.total_steps, run.headline
        self._end_status()
        if not self._has_bar:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets, that there are none: its bar is plain then
            from tqdm.auto import tqdm

        width: dict[str, Any] = {"dynamic_ncols": True} if _columns(sys.stderr) else {"ncols": UNKNOWN_WIDTH, "nrows": 20}
        stream: Any = console.Lossy(sys.stderr)
        self._bar = tqdm(
            desc=WORDS["train"],
            initial=run.step,
            total=self._total,
            unit="step",
            unit_scale=True,
            file=stream,
            leave=True,
            **width,
        )

    def line(self, metrics: Metrics) -> None:
        if self._bar is not None:
            figures = self._figures(metrics, _short_name)
            if len(figures) > 1 and (terminal.columns(sys.stderr) or NARROW) < NARROW:
                figures.pop("loss", None)
            self._bar.set_postfix(figures, refresh=False)
            self.step(metrics["step"])
            if metrics["step"] >= self._total:
                self._close_bar()
        elif not self._quiet and not self._has_bar:
            facts = "  ".join(f"{name} {figure}" for name, figure in self._figures(metrics, str).items())
            rate = f"{metrics['steps_per_second']:,.0f} steps/s"
            self._print(f"step {metrics['step']:>9,} of {self._total:,}  {rate}  {facts}")

    def _figures(self, metrics: Metrics, named: Callable[[str], str]) -> dict[str, str]:
        """Returns the figures that users of the task know, the loss, and the same figure of an evaluation; those there are."""
        evaluation = next((name for name in (f"evaluation_{self._headline}", "evaluation_return_mean") if name in metrics), "")
        names = [name for name in (self._headline, "loss", evaluation) if metrics.get(name) is not None]
        return {named(name): f"{metrics[name]:.4g}" for name in names}

    def change(self, metrics: Metrics) -> None:
        changes = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name not in ("step", "update"))
        if self._bar is None and not self._quiet:
            self._print(f"step {metrics['step']:>9,} of {self._total:,}  changed to {changes}")

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        console.print_line(line)

    def end(self, result: dict[str, Any] | None) -> None:
        self._close_bar()
        self._end_status()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.set_description_str(WORDS["train"], refresh=False)
            self._bar.close()
            self._bar = None

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.close()
            self._status = None


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this program; having imported one's packages is not enough."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _columns(stream: TextIO) -> int:
    """Returns the width of a terminal; 0, which tqdm takes by its word, where it does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # such as a stream of Python's that claims to be a terminal
        return 0


def _short_name(name: str) -> str:
    """Returns a metric's name as the bar has room for."""
    return name.removesuffix("_mean").replace("evaluation_", "evaluated ").replace("_", " ")
