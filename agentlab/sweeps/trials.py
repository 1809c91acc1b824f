"""The runs of trials: which there are to make, and what those that have ended come to."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence

import attrs
import numpy as np

from agentlab import errors
from agentlab.checks import limits
from agentlab.configuration import trusted
from agentlab.registry import plugins, task_changes
from agentlab.reports.recorded_runs import RecordedRun
from agentlab.runs.files.run_directory import RESULT
from agentlab.sweeps.begun import is_begun
from agentlab.sweeps.definition import Definition
from agentlab.sweeps.directory import RUNS, SweepDirectory, Trial
from agentlab.sweeps.engine import Engine, Job, Outcome
from agentlab.sweeps.progress import Progress, check_could_begin, failure
from agentlab.sweeps.searches.objective import Objective
from agentlab.system.files import UnreadableError
from agentlab.task import Task

WRITE_SECONDS = 1.0  # between two versions of trials.jsonl


@attrs.frozen(eq=False)
class Means:
    """What a sweep makes its runs with.

    Attributes:
        engine: that makes them.
        trust: whether the file may ask for what only a user may ask for.
        quiet: show nothing but failures.
        stop: whether the sweep is asked to end.
        plugins: single files whose parts are offered too.
    """

    engine: Engine
    trust: bool
    quiet: bool
    stop: Callable[[], bool]
    plugins: Sequence[str] = ()


@attrs.frozen
class _Run:
    """A run of a trial.

    Attributes:
        trial: that it belongs to.
        seed: of the run.
        directory: of its files.
        task: of the trial.
    """

    trial: Trial
    seed: int
    directory: pathlib.Path
    task: Task


class TrialRuns:
    """Makes the runs of trials.

    Args:
        definition: of the sweep.
        place: its directory.
        means: to make runs with.
        score: returns what a finished run comes to; raises UsageError if it has no such figure.
        write: called when a trial has changed.
        objective: without which no run begins; None where any figure will do.

    Raises:
        UsageError: the task or a setting is wrong, or no run can have the objective.

    Attributes:
        progress: of all runs.
        seeds: of each trial.
    """

    def __init__(
        self,
        definition: Definition,
        place: SweepDirectory,
        means: Means,
        score: Callable[[RecordedRun], float],
        write: Callable[[], None],
        objective: Objective | None = None,
    ) -> None:
        self._definition, self._place, self._means = definition, place, means
        self._objective, self._score, self._write = objective, score, write
        self._runs: dict[str, _Run] = {}
        self._has_finished, self._written = False, 0.0
        self.seeds = definition.seeds

        # What is wrong for all trials is said before anything is run.
        task = self.task({})
        if objective is not None:
            objective.check(task)
        self.progress = Progress(task.steps, means.quiet)

    def task(self, settings: dict[str, object]) -> Task:
        """Returns the task of a trial with these settings.

        Raises:
            UsageError: there is no such task, or a setting is wrong.
        """
        return changed_task(self._definition, settings, self._means.trust)

    def run(
        self, trials: Iterable[Trial], folder: str, seeds: Sequence[int], look: Callable[[], object] = lambda: None
    ) -> None:
        """Makes the runs of trials that have not finished, and records what all of them come to.

        Args:
            trials: to be run, the first seeds of all before the second ones.
            folder: of the sweep's directory.
            seeds: of each trial.
            look: called some times a second.

        Raises:
            UsageError: the first run can't begin, or has no such score.
        """
        # Every run by the name of its job.
        trials = list(trials)
        tasks = {trial.number: self.task(trial.settings) for trial in trials}
        runs = {
            f"trial {trial.number}, seed {seed}": _Run(trial, seed, self.directory(trial, folder, seed), tasks[trial.number])
            for seed in seeds
            for trial in trials
        }
        self._runs |= runs
        finished = {name for name, run in runs.items() if self._is_finished(run)}
        self.progress.add([run.directory for run in runs.values()], len(finished))
        for name in finished:
            self._take(runs[name])

        # What is left is begun, or resumed.
        self._settle(trials, seeds)
        jobs = [self._job(name, run) for name, run in runs.items() if name not in finished]
        if not self._means.stop():
            self._means.engine.run(jobs, self._ended, lambda: self._look(look))
        self._settle(trials, seeds)

    def directory(self, trial: Trial, folder: str, seed: int) -> pathlib.Path:
        """Returns the directory of a run."""
        return self._place.path / folder / str(trial.number) / str(seed)

    def prune(self, trial: Trial) -> None:
        """Ends the runs of a trial, and has it come to nothing."""
        trial.status, trial.error = "pruned", ""
        trial.scores.clear()
        for name, run in self._runs.items():
            if run.trial is trial:
                self._means.engine.stop(name)

    def _is_finished(self, run: _Run) -> bool:
        return is_begun(run.directory, run.task, run.seed) and (run.directory / RESULT).is_file()

    def _job(self, name: str, run: _Run) -> Job:
        """Returns the job that begins or resumes a run, as the command line does it."""
        changes = self._definition.with_settings(run.trial.settings)
        file = self._place.write_settings(run.directory.parent, changes)
        words = [sys.executable, "-P", "-m", "agentlab", "run", self._definition.task, "--config", str(file), "--quiet"]
        words += ["--seed", str(run.seed), "--run-dir", str(run.directory), "--resume"]
        words += ["--trust"] if self._means.trust else []
        words += [f"--require={self._objective.metric}"] if self._objective is not None else []
        words += [word for tag in self._definition.tags for word in ("--tag", tag)]
        return Job(name, (*words, *(word for plugin in self._means.plugins for word in ("--plugin", plugin))))

    def _look(self, look: Callable[[], object]) -> bool:
        self.progress.show()
        look()
        return self._means.stop()

    def _ended(self, outcome: Outcome) -> None:
        run = self._runs[outcome.job.name]
        if run.trial.status == "pruned":
            return
        if self._means.stop() and outcome.code:  # as it was asked to
            return

        # The first run stands for all: a mistake in the file ends the sweep.
        if not self._has_finished:
            check_could_begin(outcome)
        self.progress.ended(outcome)
        if outcome.code:
            run.trial.error = run.trial.error or f"seed {run.seed}: {failure(outcome)}"
        else:
            self._take(run)

        # Not at every end: the file is as long as the sweep.
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self._written = time.monotonic()
            self._write()

    def _take(self, run: _Run) -> None:
        """Takes the score of a run that has finished."""
        try:
            run.trial.scores[run.seed] = self._score(RecordedRun.read(run.directory))
            self._has_finished = True
        except UnreadableError as error:
            run.trial.error = run.trial.error or f"seed {run.seed}: {error}"

    def _settle(self, trials: Iterable[Trial], seeds: Sequence[int]) -> None:
        """Sets the status and the value of each trial, by what is known of its runs."""
        for trial in trials:
            if trial.status == "pruned":
                continue
            has_all = all(seed in trial.scores for seed in seeds)
            trial.status = "finished" if has_all else "failed" if trial.error else "waiting"
            trial.value = float(np.mean([trial.scores[seed] for seed in seeds])) if has_all else None
        self._write()


def changed_task(definition: Definition, settings: dict[str, object], trust: bool) -> Task:
    """Returns the task of a trial.

    Args:
        definition: of the sweep.
        settings: of the trial.
        trust: whether the file may ask for what only a user may ask for.

    Raises:
        UsageError: there is no such task, or a setting is wrong.
    """
    task = plugins.load("task", definition.task)
    if not isinstance(task, Task):
        raise errors.UsageError(f"{definition.task!r} is not a task of agentlab; 'agentlab list task' shows the tasks.")
    changes = definition.with_settings(settings)
    if not trust:
        limits.check_asked(changes, "The sweep's file")
    changed = task_changes.changed(task, {}, changes)
    task_changes.check_settings(changed)
    return trusted(changed) if trust else changed


def run_grid(definition: Definition, place: SweepDirectory, means: Means, score: Callable[[RecordedRun], float]) -> list[Trial]:
    """Makes the runs of all combinations of a grid with all seeds; returns the trials."""
    trials = [Trial(number, settings) for number, settings in enumerate(definition.combinations())]
    objective = None if definition.score is None else Objective(figure=definition.score)
    runs = TrialRuns(definition, place, means, score, lambda: place.write_trials(trials), objective)
    for trial in trials:  # what is wrong is said before anything is run
        runs.task(trial.settings)
    try:
        runs.run(trials, RUNS, definition.seeds)
    finally:
        runs.progress.close()
    return trials
