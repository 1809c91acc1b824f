"""The lines a Task is held to."""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
import warnings
from typing import Any, ClassVar

from agentlab import errors
from agentlab import task as tasks
from agentlab.registry import plugins
from agentlab.runs.composition import build_part
from agentlab.system import source_text
from agentlab.task import Task
from agentlab.testing.checks.lines import Lines
from agentlab.testing.checks.violation import expect, expect_same
from agentlab.testing.probes import probe
from agentlab.testing.probes.untouched import untouched


class TaskTests(Lines):
    """Tests of an experiment that a package offers; derive, and name its entry point as `name`.

    Attributes:
        name: of the entry point, or `PACKAGE:NAME`.
        changes: to the task for its trial run, as nested tables: fewer steps, data that every machine has.
    """

    kind: ClassVar[str] = "task"
    name: ClassVar[str]
    changes: ClassVar[dict[str, Any]] = {}

    def task(self) -> Any:
        """Returns what the entry point names."""
        return plugins.load("task", self.name)

    def test_task(self) -> None:
        """It is an agentlab.Task named like its entry point, and its description is what the listing shows."""
        found = self.task()
        expect(isinstance(found, Task), "an agentlab.Task", repr(found)[:100])
        offer = plugins.find("task", self.name)
        expect(found.name == offer.name, f"the name of its entry point, {offer.name!r}", repr(found.name))
        shown = plugins.inspected(offer)
        expect(not shown.problem, "a source text that can be read", shown.problem)
        expect(found.description, "a description", "none")
        expect(
            shown.summary in ("", found.description), "the description as a plain text, for the listing", repr(shown.summary)
        )

    def test_import(self) -> None:
        """Importing its module imports neither TensorFlow nor Gymnasium, prints nothing and leaves global state alone."""
        target = plugins.find("task", self.name).target.rpartition(":")[0]
        if target.endswith(".py"):
            self.not_applicable("it is of a plugin file, which is imported whole when it is named")
            return
        module = target if source_text.locate(target) else str(getattr(sys.modules.get(target), "__file__", target))
        found = probe.observed(module, tensorflow=False)
        expect(not found.error, "an import without error", found.error)
        expect(not found.heavy, "an import without TensorFlow, Keras or Gymnasium", f"{', '.join(found.heavy)} imported")
        expect(not found.printed, "an import that prints nothing", repr(found.printed))
        expect(not found.changed, "an import that leaves global state alone", f"changed: {', '.join(found.changed)}")

    def test_parts(self) -> None:
        """The parts it names are installed."""
        task = self.task()
        for _, kind, part in tasks.parts_of(task):
            known = {offer.name for offer in plugins.offers(kind)}
            expect(part.name.rpartition(":")[2] in known, f"an installed {kind}", f"{part.name!r}, which no package offers")

    def test_json(self) -> None:
        """Written to a run's config.json and read again, it is the same task."""
        task = self.task()
        again = Task.from_data(json.loads(json.dumps(task.as_data())))
        expect(again.as_data() == task.as_data(), "the same task after a round trip through JSON", "another")

    def test_run(self) -> None:
        """It runs: a few turns of the loop and one evaluation, finite, that leave the files of a run and nothing global."""
        from agentlab.runs import running

        short = self._short()
        with tempfile.TemporaryDirectory() as directory, untouched("running the task"):
            run = running.run(short, run_dir=pathlib.Path(directory) / "run")
            files = {path.name for path in run.directory.iterdir()}
        wanted = {"config.json", "metrics.jsonl", "result.json", "checkpoints"}
        expect(wanted <= files, f"the files {sorted(wanted)}", sorted(files))
        expect(run.result["steps"] >= short.steps, f"{short.steps} steps", run.result["steps"])

    def test_resume(self) -> None:
        """Ended halfway and resumed from its files, it comes to the same weights, bit by bit, as if it had not been."""
        from agentlab.runs import resuming, running

        whole = self._short()
        half = tasks.changed(whole, {"steps": max(1, whole.steps // 2)})
        with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.RunWarning)  # of what can't be resumed to the same bits
            straight = running.run(whole, run_dir=pathlib.Path(directory) / "straight")
            running.run(half, run_dir=pathlib.Path(directory) / "resumed")
            resumed = resuming.resume(pathlib.Path(directory) / "resumed", steps=whole.steps)
        if not resumed.result["exact"]:
            self.not_applicable("its environment can't be resumed to the same bits")
            return
        one, other = ({name: value.numpy() for name, value in run.agent.variables().items()} for run in (straight, resumed))
        expect_same(one, other, "the same state of the agent whether a run was resumed or not")

    def _short(self) -> Task:
        """Returns the task with a budget of a few turns, of which the second half learns."""
        task = tasks.changed(self.task(), self.changes)
        steps = min(task.steps, 20 * task.num_environments)
        short = tasks.changed(task, {"steps": steps, "evaluation": {"episodes": 1}})
        if build_part("trainer", task.trainer).learning_starts <= steps // 2:
            return short
        return tasks.changed(short, {"trainer": {"learning_starts": steps // 2}})
