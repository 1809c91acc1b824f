"""A search by Optuna: batches of trials, whose suggestions depend on the file and on the batches before, and on nothing else.

So a search is the same with any engine and any number of workers, and one that was killed resumes as if it had not been.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentlab import errors
from agentlab.reports.searches import SEARCH
from agentlab.sweeps.definition import Definition, Search
from agentlab.sweeps.directory import BEST, SweepDirectory, Trial
from agentlab.sweeps.searches.study import open_study, quiet_optuna, sampler_for
from agentlab.sweeps.trials import Means, TrialRuns

if TYPE_CHECKING:
    import optuna

LOOK_SECONDS = 0.5  # between two looks at the reports of runs
STATUS = {"COMPLETE": "waiting", "PRUNED": "pruned", "FAIL": "failed"}  # of a trial that is resumed, by its state in the study


def run_search(
    definition: Definition, place: SweepDirectory, means: Means, num_trials: int, timeout: float | None
) -> tuple[list[Trial], list[Trial]]:
    """Searches, then runs the best settings again with fresh seeds.

    Args:
        definition: of the sweep.
        place: its directory.
        means: to make runs with.
        num_trials: how many there are in all.
        timeout: seconds after which no batch begins; None for no limit.

    Returns:
        The trials of the search, and those of the best settings.

    Raises:
        UsageError: Optuna is not installed, a setting is wrong, or no trial has finished.
    """
    search, trials = definition.search, list[Trial]()
    assert search is not None
    with quiet_optuna():
        study = open_study(search, place.path)
        value, write = search.objective.value, lambda: place.write_trials(trials)
        runs = TrialRuns(definition, place, means, value, write, search.objective)
        end = None if timeout is None else time.monotonic() + timeout
        try:
            # Batches that the study has already are gone through again, which takes no run.
            while len(trials) < num_trials and not means.stop():
                numbers = range(len(trials), min(num_trials, len(trials) + search.batch))
                if _is_new(study, numbers[0]) and end is not None and time.monotonic() >= end:
                    break
                trials += _suggest_batch(search, study, runs, numbers)
                _run_batch(search, study, runs, trials[numbers[0] :], means)
            return trials, [] if means.stop() else _run_best(search, runs, trials)
        finally:
            runs.progress.close()


def _is_new(study: optuna.Study, number: int) -> bool:
    return number >= len(study.get_trials(deepcopy=False))


def _suggest_batch(search: Search, study: optuna.Study, runs: TrialRuns, numbers: range) -> list[Trial]:
    """Returns the trials of a batch, all of which are suggested before the first of them is run."""
    batch = []
    for number in numbers:
        trial = Trial(number, _suggest(search, study, number))
        runs.task(trial.settings)  # what is wrong is said before anything is run
        batch.append(trial)
    return batch


def _suggest(search: Search, study: optuna.Study, number: int) -> dict[str, Any]:
    """Returns the settings of a trial; a trial that the study has already suggests the same again."""
    import optuna

    recorded = study.get_trials(deepcopy=False)
    study.sampler = sampler_for(search, number, "")
    trial = optuna.Trial(study, recorded[number]._trial_id) if number < len(recorded) else study.ask()
    if trial.number != number:
        raise errors.UsageError("Another program is adding trials to the study of this search; give the sweep its own storage.")

    # Each setting has a random stream of its own, so that it doesn't matter where a sweep was killed.
    settings: dict[str, Any] = {}
    for dimension in search.space:
        if dimension.matters(settings):
            study.sampler = sampler_for(search, number, dimension.name)
            settings[dimension.name] = dimension.suggest(trial)
    return settings


def _run_batch(search: Search, study: optuna.Study, runs: TrialRuns, batch: list[Trial], means: Means) -> None:
    """Runs the trials of a batch, and tells the study what they come to once all have ended."""
    # What the study knows of trials of before.
    states = {trial.number: trial.state for trial in study.get_trials(deepcopy=False)}
    for trial in batch:
        trial.status = STATUS.get(states[trial.number].name, trial.status)
    pending = [trial for trial in batch if not states[trial.number].is_finished()]
    watch = _Pruning(search, study, {trial.number: runs.directory(trial, SEARCH, runs.seeds[0]) for trial in pending})

    def prune() -> None:
        for trial in pending:
            if trial.status in ("waiting", "finished") and watch.is_hopeless(trial.number):
                runs.prune(trial)

    runs.run([trial for trial in batch if trial.status == "waiting"], SEARCH, runs.seeds, watch.rarely(prune))
    if means.stop():
        return

    # A run may have ended before its reports were looked at: whether it is pruned must not depend on that.
    prune()
    _tell(study, pending)
    if all(trial.status == "failed" for trial in batch):
        raise errors.UsageError(
            f"All runs of trials {batch[0].number} to {batch[-1].number} failed; the first with: {batch[0].error}."
        )
    _print_best(search, study, runs)


def _tell(study: optuna.Study, trials: list[Trial]) -> None:
    from optuna.trial import TrialState

    for trial in trials:
        if trial.status == "finished":
            study.tell(trial.number, trial.value)
        else:
            study.tell(trial.number, state=TrialState.PRUNED if trial.status == "pruned" else TrialState.FAIL)


def _print_best(search: Search, study: optuna.Study, runs: TrialRuns) -> None:
    trials = study.get_trials(deepcopy=False)
    best = study.best_trial if any(trial.state.name == "COMPLETE" for trial in trials) else None
    if best is not None:
        runs.progress.print(f"{len(trials)} trials: the best is trial {best.number}, {search.objective} {best.value:.5g}")


def _run_best(search: Search, runs: TrialRuns, trials: list[Trial]) -> list[Trial]:
    """Runs the best settings of a search again, with fresh seeds; returns their trials.

    Raises:
        UsageError: none has finished.
    """
    sign = 1 if search.objective.direction == "minimize" else -1
    finished = sorted(
        (trial for trial in trials if trial.value is not None and trial.status == "finished"),
        key=lambda trial: (sign * (trial.value or 0.0), trial.number),
    )
    if not finished:
        raise errors.UsageError("No trial of the search has finished, so there are no best settings to run again.")

    # A sampler may suggest the same settings twice.
    different: list[Trial] = []
    for trial in finished:
        if all(trial.settings != other.settings for other in different):
            different.append(trial)
    best = [Trial(trial.number, trial.settings) for trial in different[: search.best]]
    runs.run(best, BEST, search.best_seeds)
    return best


class _Pruning:
    """Asks the study's pruner about trials, by the reports of their first seed's runs.

    Args:
        search: whose objective says which column of metrics is reported.
        study: with a pruner.
        directories: of the first seed's runs, by trial.
    """

    def __init__(self, search: Search, study: optuna.Study, directories: dict[int, pathlib.Path]) -> None:
        import optuna

        self._objective = search.objective
        recorded = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
        watched = directories if search.pruner["name"] else {}
        self._trials = {number: optuna.Trial(study, recorded[number]._trial_id) for number in watched}
        self._directories = directories
        self._reported = {number: set(recorded[number].intermediate_values) for number in watched}
        self._asked: dict[int, int] = {}  # the last step about which the pruner was asked, by trial
        self._looked = 0.0

    def rarely(self, function: Callable[[], None]) -> Callable[[], None]:
        """Returns the function, called at most twice a second."""

        def call() -> None:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._looked = time.monotonic()
                function()

        return call

    def is_hopeless(self, number: int) -> bool:
        """Returns whether a trial is to be pruned; the pruner is asked about each report, in order.

        Reports of before a sweep was killed are in the study already; about the last of them it is asked again.
        """
        if number not in self._trials:
            return False

        # The reports that are new, one after the other.
        trial, reported = self._trials[number], self._reported[number]
        for step, value in self._objective.reports(self._directories[number]):
            if step <= self._asked.get(number, -1):
                continue
            if step not in reported:
                reported.add(step)
                trial.report(value, step)
            elif step < max(reported):
                continue
            self._asked[number] = step
            if trial.should_prune():
                return True
        return False
