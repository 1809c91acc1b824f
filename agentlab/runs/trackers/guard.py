"""The guard around other people's trackers: neither what one raises nor how long it takes ends a run."""

from __future__ import annotations

import copy
import pathlib
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from agentlab import errors
from agentlab.foreign.guard import is_interrupt
from agentlab.system import files
from agentlab.system.processes import patience
from agentlab.system.tracebacks import describe_error
from agentlab.tracker import Media, Metrics, TrackedRun, Tracker

T = TypeVar("T")


class GuardedTracker(Tracker):
    """Somebody else's tracker. If it fails, there is one warning, and from then on it gets nothing more.

    Args:
        name: that warnings call it by.
        tracker: to be called through this.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name = name
        self._inner = tracker
        self._has_failed = False

    def begin(self, run: TrackedRun) -> None:
        own = attrs.evolve(run, config=copy.deepcopy(run.config), state=copy.deepcopy(run.state))
        self._call("begin", self._inner.begin, own)

    def line(self, metrics: Metrics) -> None:
        self._call("line", self._inner.line, dict(metrics))

    def change(self, metrics: Metrics) -> None:
        self._call("change", self._inner.change, dict(metrics))

    def checkpoint(self, path: pathlib.Path) -> None:
        self._call("checkpoint", self._inner.checkpoint, path)

    def media(self, name: str, content: Media, step: int) -> None:
        self._call("media", self._inner.media, name, copy.copy(content), step)

    def state(self) -> dict[str, Any]:
        return self._call("state", lambda: _as_json(self._inner.state())) or {}

    def end(self, result: dict[str, Any] | None) -> None:
        self._call("end", self._inner.end, copy.deepcopy(result))

    def _call(self, method: str, function: Callable[..., T], *arguments: Any) -> T | None:
        """Returns what a method returns; None if it fails, or has failed before."""
        returned: list[T] = []
        if self._has_failed:
            return None
        try:
            in_time = patience.within(self._inner.time_limit, lambda: returned.append(function(*arguments)))
            reason = "" if in_time else f"it has not returned within {self._inner.time_limit:g} seconds"
        except BaseException as error:  # SystemExit too: a tracker does not end the program
            if is_interrupt(error):
                raise
            reason = f"it raised {describe_error(error)}"
        if not reason:
            return returned[0]

        # It gets nothing more, and one warning says why.
        self._has_failed = True
        warnings.warn(
            f"The tracker {self._name} failed in its {method}: {reason}. The run continues without it.",
            errors.RunWarning,
            stacklevel=3,
        )
        return None


def _as_json(state: Any) -> dict[str, Any]:
    """Returns a tracker's state as it will be read back from a checkpoint's manifest.

    Raises:
        UnwritableError: it holds something that JSON can't.
        TypeError: it is no mapping.
    """
    if not isinstance(state, dict):
        raise TypeError(f"its state is {state!r:.60}; expected a dict that JSON can hold")
    return files.parse_json(files.json_bytes(state, "the state").decode("ascii"), "the state")
