"""`on_report`: a function of the program that runs the task."""

from __future__ import annotations

from collections.abc import Callable

from agentlab.tracker import Metrics, Tracker


class ReportFunction(Tracker):
    """Calls a function with the metrics of every report. What it raises is raised to the caller of `run`, who wrote it.

    Args:
        function: gets a dict of its own.
    """

    def __init__(self, function: Callable[[Metrics], object]) -> None:
        self._function = function

    def line(self, metrics: Metrics) -> None:
        self._function(dict(metrics))

    def change(self, metrics: Metrics) -> None:
        """Does nothing: the function expects the metrics of a report."""
