"""Tests of tasks."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from agentlab import configuration, errors
from agentlab.registry import plugins
from agentlab.runs.composition import build_part
from agentlab.system import source_text
from agentlab.task import Task, parts_of
from agentlab.testing.checks.lines import Lines
from agentlab.testing.checks.violation import expect, expect_same
from agentlab.testing.probes import probe
from agentlab.testing.probes.untouched import expect_untouched, observing

if TYPE_CHECKING:
    from agentlab.runs.run import Run


@attrs.frozen(eq=False)
class ShortRun:
    """What came of a short run.

    Attributes:
        steps: that it took.
        files: names of what it left in its directory.
        changed: names of the global state that it changed.
        state: the agent's variables at its end, by name.
        halfway: its directory, as if the machine had been switched off halfway.
    """

    steps: int
    files: set[str]
    changed: list[str]
    state: dict[str, np.ndarray]
    halfway: pathlib.Path


class TaskTests(Lines):
    """Tests of tasks; derive a class, and give the task's entry point as `name`.

    Attributes:
        name: of the entry point, or `PACKAGE:NAME`.
        changes: to the task for its trial run, as nested tables: fewer steps, data that every machine has.
    """

    kind: ClassVar[str] = "task"
    name: ClassVar[str]
    changes: ClassVar[dict[str, Any]] = {}

    def task(self) -> Any:
        """Returns the object that the entry point names."""
        return plugins.load("task", self.name)

    def test_task(self) -> None:
        """It is an agentlab.Task named like its entry point, and its description is what the listing shows."""
        task = self.task()
        expect(isinstance(task, Task), "an agentlab.Task", repr(task)[:100])
        offer = plugins.find("task", self.name)
        expect(task.name == offer.name, f"the name of its entry point, {offer.name!r}", repr(task.name))

        # What the listing reads without an import.
        inspected = plugins.inspected(offer)
        expect(not inspected.problem, "a source text that can be read", inspected.problem)
        expect(task.description, "a description", "none")
        expect(
            inspected.summary in ("", task.description),
            "the description as a plain text, for the listing",
            repr(inspected.summary),
        )

    def test_import(self) -> None:
        """Importing its module imports neither TensorFlow nor Gymnasium, prints nothing and leaves global state alone."""
        target = plugins.find("task", self.name).target.rpartition(":")[0]
        if target.endswith(".py"):
            self.not_applicable("it is of a plugin file, which is imported whole when it is named")

            # Seen in a process of its own, where nothing is imported yet.
            return
        module = target if source_text.locate(target) else str(getattr(sys.modules.get(target), "__file__", target))
        process = probe.observed(module, tensorflow=False)
        expect(not process.error, "an import without error", process.error)
        expect(not process.heavy, "an import without TensorFlow, Keras or Gymnasium", f"{', '.join(process.heavy)} imported")
        expect(not process.printed, "an import that prints nothing", repr(process.printed))
        expect(not process.changed, "an import that leaves global state alone", f"changed: {', '.join(process.changed)}")

    def test_parts(self) -> None:
        """The parts it names are installed."""
        task = self.task()
        for _, kind, part in parts_of(task):
            known = {offer.name for offer in plugins.offers(kind)}
            expect(part.name.rpartition(":")[2] in known, f"an installed {kind}", f"{part.name!r}, which no package offers")

    def test_json(self) -> None:
        """Written to a run's config.json and read again, it is the same task."""
        task = self.task()
        again = Task.from_data(json.loads(json.dumps(task.as_data())))
        expect(again.as_data() == task.as_data(), "the same task after a round trip through JSON", "another")

    def test_run(self) -> None:
        """It runs: a few turns of the loop and one evaluation, finite, that leave the files of a run and nothing global."""
        run = self._run()
        expect_untouched("running the task", run.changed)

        # The files that every run leaves.
        expected = {"config.json", "metrics.jsonl", "result.json", "checkpoints"}
        expect(expected <= run.files, f"the files {sorted(expected)}", sorted(run.files))
        steps = self._short().steps
        expect(run.steps >= steps, f"{steps} steps", run.steps)

    def test_resume(self) -> None:
        """Ended halfway and resumed from its files, it reaches the same weights bit for bit as an uninterrupted run."""
        from agentlab.runs import resuming

        whole = self._run()
        with tempfile.TemporaryDirectory() as directory, _without_run_warnings():
            resumed = resuming.resume(shutil.copytree(whole.halfway, pathlib.Path(directory) / "resumed"))
        if not resumed.result["exact"]:
            self.not_applicable("its environment can't be resumed to the same bits")
            return

        # By the names of the agent's variables.
        expect_same(whole.state, _state(resumed), "the same state of the agent whether a run was resumed or not")

    def _run(self) -> ShortRun:
        """Returns what came of a run of the short task, made once for all tests of the class."""

        def observed() -> ShortRun:
            from agentlab.runs import running

            directory = pathlib.Path(tempfile.mkdtemp())
            weakref.finalize(type(self), shutil.rmtree, directory, ignore_errors=True)
            with _without_run_warnings(), observing() as changed:
                run = running.run(self._short(), run_dir=directory / "run")
            files = {path.name for path in run.directory.iterdir()}
            _take_back(run)
            return ShortRun(run.result["steps"], files, changed, _state(run), run.directory)

        return self._once("_ran", observed)

    def _short(self) -> Task:
        """Returns the task with a budget of a few turns, of which the second half learns; a report and a checkpoint a half."""
        task = configuration.changed(self.task(), self.changes)
        steps = min(task.steps, 20 * task.num_environments)
        half = max(1, steps // 2)
        periods = {"report_period": half, "checkpoint_period": half, "checkpoints_kept": 2}
        short = configuration.changed(task, {"steps": steps, **periods, "evaluation": {"episodes": 1}})
        if build_part("trainer", task.trainer).learning_starts <= half:
            return short
        return configuration.changed(short, {"trainer": {"learning_starts": half}})


def _state(run: Run) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in run.agent.variables().items()}


def _take_back(run: Run) -> None:
    """Removes what a finished run wrote after its last checkpoint but one."""
    from agentlab.runs.checkpoints.store import Checkpoints
    from agentlab.runs.files.run_directory import CHECKPOINTS, RESULT

    (run.directory / RESULT).unlink(missing_ok=True)
    checkpoints = Checkpoints(run.directory / CHECKPOINTS)
    checkpoints.prune(checkpoints.steps()[:-1])


@contextlib.contextmanager
def _without_run_warnings() -> Iterator[None]:
    """Keeps back warnings of what can't be resumed to the same bits, which a line of its own asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.RunWarning)
        yield
