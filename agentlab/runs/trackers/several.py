"""All trackers of a run, called as one."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import attrs

from agentlab.tracker import Media, Metrics, TrackedRun, Tracker


class Trackers(Tracker):
    """Calls several trackers one after another, except those that haven't begun.

    Args:
        trackers: by name, in the order in which they are called.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._named = dict(trackers)
        self._begun: dict[str, Tracker] = {}

    def begin(self, run: TrackedRun) -> None:
        for name, tracker in self._named.items():
            self._begun[name] = tracker
            tracker.begin(attrs.evolve(run, state=run.state.get(name, {})))

    def line(self, metrics: Metrics) -> None:
        for tracker in self._begun.values():
            tracker.line(metrics)

    def change(self, metrics: Metrics) -> None:
        for tracker in self._begun.values():
            tracker.change(metrics)

    def checkpoint(self, path: pathlib.Path) -> None:
        for tracker in self._begun.values():
            tracker.checkpoint(path)

    def media(self, name: str, content: Media, step: int) -> None:
        for tracker in self._begun.values():
            tracker.media(name, content, step)

    def state(self) -> dict[str, Any]:
        """Returns the states of the trackers that have one, by name."""
        states = {name: tracker.state() for name, tracker in self._begun.items()}
        return {name: state for name, state in states.items() if state}

    def end(self, result: dict[str, Any] | None) -> None:
        for tracker in self._begun.values():
            tracker.end(result)
        self._begun = {}
