"""The lines of the Tracker contract."""

from __future__ import annotations

import json
import math
import pathlib
import tempfile
import time
from typing import Any, ClassVar

import numpy as np

from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.violation import expect
from agentlab.testing.probes.untouched import untouched
from agentlab.tracker import Metrics, TrackedRun, Tracker

STEPS = (100, 200, 300, 400, 500, 600)  # of the lines; a checkpoint is taken at the fourth, before its line
CUT = 3


class TrackerTests(Suite):
    """Tests of trackers; derive a class, and name yours as `part`."""

    kind: ClassVar[str] = "tracker"

    def test_follows(self) -> None:
        """It follows a run to its end: lines, a change of a setting, a checkpoint, a text, frames and the result."""
        with tempfile.TemporaryDirectory() as directory:
            tracker = self._begun(directory)
            for step in STEPS:
                tracker.line(_line(step))

            # Everything that can happen in a run, once.
            tracker.change({"step": 600, "update": 60, "trainer.learning_rate": 0.5})
            path = pathlib.Path(directory) / "checkpoints" / "step-600"
            path.mkdir(parents=True)
            tracker.checkpoint(path)
            tracker.media("sample", "to be or not to be", 600)
            tracker.media("evaluation", np.zeros([2, 8, 6, 3], np.uint8), 600)
            tracker.end({"task": "example", "steps": 600, "evaluation": {"return_mean": 1.0}})

    def test_any_line(self) -> None:
        """It takes lines with new metrics, with None for a number, and with numbers that are not finite."""
        lines = [_line(100), {**_line(200), "loss": None}, {**_line(300), "loss": math.nan, "evaluation_return_mean": 2.0}]
        with tempfile.TemporaryDirectory() as directory:
            tracker = self._begun(directory)
            for line in (*lines, _line(400), {"step": 500, "update": 50, "error": math.inf}):
                before = dict(line)
                tracker.line(line)
                expect(str(line) == str(before), "the metrics left as they are", line)
            tracker.end(None)

    def test_no_line(self) -> None:
        """It ends with a run that ended early, without a line and without a result."""
        with tempfile.TemporaryDirectory() as directory:
            self._begun(directory).end(None)

    def test_state(self) -> None:
        """Its state is a table that JSON can hold, at the beginning and after some lines."""
        with tempfile.TemporaryDirectory() as directory:
            tracker = self._begun(directory)
            for line in (_line(100), _line(200)):
                state = tracker.state()
                again = json.loads(json.dumps(state, allow_nan=False))
                expect(isinstance(state, dict) and again == state, "a dict that JSON gives back as it was", repr(state))
                tracker.line(line)
            tracker.end(None)

    def test_resumes(self) -> None:
        """Killed and resumed from a checkpoint, it leaves the same files in the run's directory as without a break."""
        with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as parts:
            tracker = self._begun(whole)
            for step in STEPS:
                tracker.line(_line(step))
            tracker.end(None)

            # The same run, killed after a checkpoint and some lines more.
            killed = self._begun(parts)
            for step in STEPS[:CUT]:
                killed.line(_line(step))
            state = json.loads(json.dumps(killed.state()))
            for step in STEPS[CUT:-1]:  # which are lost with the process
                killed.line(_line(step))

            # The lines after the checkpoint come again.
            resumed = self._begun(parts, STEPS[CUT], state)
            for step in STEPS[CUT:]:
                resumed.line(_line(step))
            resumed.end(None)

            # Names and contents of all files.
            one, other = _files(whole), _files(parts)
            expect(one.keys() == other.keys(), f"the files {sorted(one)}", sorted(other))
            different = [name for name, data in one.items() if other[name] != data]
            expect(not different, "the same files whether it was killed and resumed or not", f"others: {different}")
            killed.end(None)

    def test_quick(self) -> None:
        """A line takes far less than its time limit."""
        with tempfile.TemporaryDirectory() as directory:
            tracker = self._begun(directory)
            begin = time.monotonic()
            tracker.line(_line(100))
            seconds = time.monotonic() - begin
            tracker.end(None)
        limit = self.part.time_limit / 10
        expect(seconds < limit, f"a line taken within {limit:g} s", f"{seconds:.1f} s")

    def test_following_touches_nothing(self) -> None:
        """Following a run leaves random states and other global state alone."""
        with tempfile.TemporaryDirectory() as directory, untouched("following a run"):
            tracker = self._begun(directory)
            tracker.line(_line(100))
            tracker.end(None)

    def _begun(self, directory: str, step: int = 0, state: dict[str, Any] | None = None) -> Tracker:
        tracker: Tracker = self.make()
        config = {"task": {"name": "example"}, "seed": 0}
        tracker.begin(TrackedRun(config, pathlib.Path(directory), STEPS[-1], step, state or {}))
        return tracker


def _line(step: int) -> Metrics:
    """Returns a report's metrics, with numbers that depend on the step."""
    numbers = {"return_mean": math.sin(step), "loss": 1 / step, "seconds": step / 100, "steps_per_second": 100.0}
    return {"step": step, "update": step // 10, "episodes": step // 50, **numbers}


def _files(directory: str) -> dict[str, bytes]:
    root = pathlib.Path(directory)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
