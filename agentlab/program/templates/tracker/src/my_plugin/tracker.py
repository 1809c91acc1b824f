"""A tracker follows a run from outside: it gets metrics, checkpoints and the result, and changes nothing."""

from __future__ import annotations

from typing import Any

import attrs

from agentlab.tracker import Metrics, TrackedRun, Tracker


@attrs.define(slots=False, eq=False)
class MyPlugin(Tracker):
    """Writes the largest value of a metric so far, and its step, into `best.txt` in the run's directory.

    Attributes:
        metric: its name in metrics.jsonl.
    """

    metric: str = "return_mean"

    def begin(self, run: TrackedRun) -> None:
        self._path = run.directory / "best.txt"
        self._best: float | None = run.state.get("best")  # None at the beginning of a run
        self._write(run.state.get("step", 0))

    def line(self, metrics: Metrics) -> None:
        value = metrics.get(self.metric)
        if value is not None and (self._best is None or value > self._best):
            self._best = value
            self._write(metrics["step"])

    def _write(self, step: int) -> None:
        self._step = step
        if self._best is not None:
            self._path.write_text(f"{self.metric} {self._best:g} at step {step}\n", "utf-8")

    def state(self) -> dict[str, Any]:
        return {"best": self._best, "step": self._step}
