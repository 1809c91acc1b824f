"""Progress display of a run."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Any, TextIO

from agentlab.system import console
from agentlab.tracker import Metrics, TrackedRun, Tracker

EVALUATION_SECONDS = 5.0  # between two signs of life of an evaluation
UNKNOWN_WIDTH = 100  # columns of the bar on a terminal that does not tell its own


class Progress(Tracker):
    """Shows a run's progress: a bar on a terminal, plain lines in a pipe or a file, nothing if quiet.

    What can't be shown is dropped: a reader may leave, a terminal close and a disk fill up without ending the run.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._total = 0
        self._quiet = quiet
        self._bar: Any = None
        self._last_evaluation = 0.0

    def begin(self, run: TrackedRun) -> None:
        """Shows the bar, on standard error; lines in a pipe go to standard output and have no beginning."""
        self._total = run.total_steps
        on_terminal = console.is_terminal(sys.stderr) and not console.is_redirected(sys.stdout)
        if self._quiet or not (on_terminal or _in_notebook()):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets, that there are none: its bar is plain then
            from tqdm.auto import tqdm

        width: dict[str, Any] = {"dynamic_ncols": True} if _columns(sys.stderr) else {"ncols": UNKNOWN_WIDTH, "nrows": 20}
        stream: Any = console.Lossy(sys.stderr)
        self._bar = tqdm(initial=run.step, total=self._total, unit="step", unit_scale=True, file=stream, leave=True, **width)

    def line(self, metrics: Metrics) -> None:
        if self._bar is not None:
            figures = {short: _short(metrics.get(name)) for short, name in (("return", "return_mean"), ("loss", "loss"))}
            if "evaluation_accuracy" in metrics:
                figures["accuracy"] = _short(metrics["evaluation_accuracy"])
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update(metrics["step"] - self._bar.n)
        elif not self._quiet:
            names = (
                "return_mean",
                "loss",
                "evaluation_accuracy" if "evaluation_accuracy" in metrics else "evaluation_return_mean",
            )

            # Figures that are missing are left out of the line.
            facts = "  ".join(f"{name} {_short(metrics[name])}" for name in names if metrics.get(name) is not None)
            rate = f"{metrics['steps_per_second']:,.0f} steps/s"
            console.print_line(f"step {metrics['step']:>9,} of {self._total:,}  {rate}  {facts}")

    def change(self, metrics: Metrics) -> None:
        changes = "  ".join(f"{name} {_short(value)}" for name, value in metrics.items() if name not in ("step", "update"))
        if self._bar is None and not self._quiet:
            console.print_line(f"step {metrics['step']:>9,} of {self._total:,}  changed to {changes}")

    def evaluation(self, ended: int, episodes: int, steps: int) -> None:
        """Shows how far an evaluation has come that takes long; called after each of its steps."""
        now = time.monotonic()
        if steps == 1:
            self._last_evaluation = now
        if now - self._last_evaluation < EVALUATION_SECONDS or self._quiet:
            return

        # No more than a line every few seconds.
        self._last_evaluation = now
        line = f"evaluating: {ended:,} of {episodes:,} episodes have ended after {steps:,} steps"
        if self._bar is not None:
            self._bar.set_postfix_str(line)
        else:
            console.print_line(line)

    def end(self, result: dict[str, Any] | None) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this program; having imported one's packages is not enough."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _columns(terminal: TextIO) -> int:
    """Returns the width of a terminal; 0, which tqdm takes by its word, where it does not tell."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns
    except (OSError, ValueError):  # such as a stream of Python's that claims to be a terminal
        return 0


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
