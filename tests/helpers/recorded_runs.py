"""An engine that writes the files of runs without training anything, by a function of task and seed; it takes no time."""

from __future__ import annotations

import json
import pathlib

from agentlab.program import cli, task_choice
from agentlab.sweeps.engine import Engine, Outcome, Running

CURVE = (0.25, 0.5, 0.75, 1.0)  # of the budget and of the score, at each report


class RecordingEngine(Engine):
    """Makes runs by writing their files.

    Args:
        score: returns the score of a run by its task and seed; an exception is a run that fails, with its text.
        size: how many at a time.

    Attributes:
        begun: the names of the jobs, in the order in which they were started.
        ends: of jobs by name, exit codes that come before their runs do, such as -9.
        required: of jobs by name, the metrics without which their runs would not begin.
        reports_at_once: how many reports a run writes each time it is looked at.
    """

    def __init__(self, score, size=2):
        super().__init__(size)
        self.score, self.begun, self.ends, self.reports_at_once = score, [], {}, len(CURVE)
        self.required, self.closed = {}, False

    def start(self, job):
        self.begun.append(job.name)
        return RecordedJob(self, job)

    def close(self):
        self.closed = True


class RecordedJob(Running):
    def __init__(self, engine, job):
        self.job, self._engine, self._is_ending = job, engine, False
        options = cli._parser().parse_args(list(job.command[job.command.index("agentlab") + 1 :]))
        self._task, self._seed = task_choice.resolve_task(options)
        engine.required[job.name] = options.require
        self._directory, self._tags = pathlib.Path(options.run_dir), options.tag
        self._lines = []

    def outcome(self):
        ends = self._engine.ends.get(self.job.name, [])
        if ends:
            return Outcome(self.job, ends.pop(0), "agentlab: What was wrong.", 0.1)
        if self._is_ending:
            return Outcome(self.job, 143, "agentlab: Interrupted.", 0.1)
        try:
            score = self._engine.score(self._task, self._seed)
        except ValueError as error:
            return Outcome(self.job, 1, f"agentlab: {error}", 0.1)

        # As far as it has come, then all of it.
        self._directory.mkdir(parents=True, exist_ok=True)
        config = {"task": self._task.as_data(), "seed": self._seed, "versions": {"agentlab": "2.0.0"}}
        (self._directory / "config.json").write_text(json.dumps(config))
        for part in CURVE[len(self._lines) : len(self._lines) + self._engine.reports_at_once]:
            line = {"step": int(part * self._task.steps), "update": 1, "return_mean": part * score}
            self._lines.append(json.dumps(line) + "\n")
        (self._directory / "metrics.jsonl").write_text("".join(self._lines))
        if len(self._lines) < len(CURVE):
            return None
        result = {"steps": self._task.steps, "evaluation": {"return_mean": score, "loss": -score}, "seconds": {"total": 1.0}}
        (self._directory / "result.json").write_text(json.dumps(result))
        provenance = {"tags": self._tags, "sessions": [{"status": "finished"}]}
        (self._directory / "provenance.json").write_text(json.dumps(provenance))
        return Outcome(self.job, 0, "done", 0.1)

    def end(self):
        self._is_ending = True

    def kill(self):
        pass
