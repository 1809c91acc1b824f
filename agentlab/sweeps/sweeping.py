"""A sweep, from its file to the table of what it comes to."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from agentlab import errors
from agentlab.reports.comparison import SCORES, Comparison, compare
from agentlab.reports.recorded_runs import RecordedRun, collect
from agentlab.sweeps.definition import DEFAULT_STORAGE, Definition
from agentlab.sweeps.directory import BEST, DEFINITION, RUNS, SweepDirectory, Trial, read_definition
from agentlab.sweeps.engines import EngineOptions
from agentlab.sweeps.searches.search import run_search
from agentlab.sweeps.trials import Means, changed_task, run_grid
from agentlab.task import Task


@attrs.frozen
class SweepResult:
    """What a sweep comes to.

    Attributes:
        directory: of the sweep.
        trials: those of the grid, or of the search.
        best: of a search, the trials of the best settings with fresh seeds.
        comparison: of the runs of the grid, or of the best settings; None if none has finished.
    """

    directory: pathlib.Path
    trials: list[Trial]
    best: list[Trial]
    comparison: Comparison | None

    @property
    def num_failed(self) -> int:
        """How many trials have failed, the best settings' with fresh seeds included."""
        return sum(trial.status == "failed" for trial in (*self.trials, *self.best))


def sweep(
    definition: str | os.PathLike[str] | Mapping[str, Any],
    *,
    sweep_dir: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    engine: str = "local",
    address: str | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
    hang_timeout: float | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    trust: bool = False,
    quiet: bool = True,
    stop: Callable[[], bool] = lambda: False,
    plugins: Sequence[str] = (),
) -> SweepResult:
    """Makes the runs of a sweep, each in a process of its own; what has finished before is not run again.

    Args:
        definition: a TOML file, the directory of a sweep that is resumed, or the content of such a file.
        sweep_dir: for the sweep's files; by default `sweeps/NAME`.
        jobs: runs at a time; by default as many as there are cores for, with Ray as many as the cluster has room for.
        engine: "local" or "ray".
        address: of a Ray cluster; by default that of RAY_ADDRESS, or a new one on this machine.
        cpus: that a run needs, with Ray; by default the task's threads.
        gpus: that a run needs, with Ray; by default none.
        hang_timeout: seconds without a sign of life after which a run is ended and counts as failed; by default an hour.
        trials: of a search, instead of the file's.
        timeout: of a search in seconds, instead of the file's.
        trust: whether the file may ask for what only a user may ask for; a mapping of yours may.
        quiet: show nothing but failures.
        stop: asked some times a second; the runs end with checkpoints when it answers True.
        plugins: single files whose parts are offered too.

    Raises:
        UsageError: the file, a setting or the directory is wrong, or the engine can't be used.
        WriteFault: a file can't be written.
        Interrupted: `stop` answered True.
    """
    data, text, directory = _read(definition)
    parsed = Definition.parse(data)
    directory = pathlib.Path(sweep_dir) if sweep_dir is not None else directory or _default_directory(parsed, definition)
    trust = trust or isinstance(definition, Mapping)
    task = _checked_task(parsed, trust)

    # The engine last: it may take seconds to start.
    making = EngineOptions(engine, jobs, address, cpus, gpus, hang_timeout).make
    with contextlib.closing(SweepDirectory(directory, data, text)) as place, contextlib.closing(making(task)) as machinery:
        means = Means(machinery, trust, quiet, stop, [os.path.abspath(file) for file in plugins])  # noqa: PTH100
        done, best = _run(parsed, place, means, trials, timeout)
    if stop():
        raise errors.Interrupted(
            f"The sweep in {str(directory)!r} was interrupted; its runs have checkpoints. Run it again to resume it."
        )
    return SweepResult(place.path, done, best, _comparison(parsed, place.path, done, best))


def _run(
    definition: Definition, place: SweepDirectory, means: Means, trials: int | None, timeout: float | None
) -> tuple[list[Trial], list[Trial]]:
    if (search := definition.search) is not None:
        limit = search.timeout if timeout is None else timeout
        return run_search(definition, place, means, search.trials if trials is None else trials, limit)
    if trials is not None or timeout is not None:
        raise errors.UsageError("--trials and --timeout apply to a search, but the sweep has none.")
    return run_grid(definition, place, means, lambda run: _score(run, definition.score)), []


def _checked_task(definition: Definition, trust: bool) -> Task:
    """Returns the task of a sweep.

    Raises:
        UsageError: there is no such task, or a setting is wrong; or a file that isn't trusted names a database, or a place
            outside the sweep's directory.
    """
    search = definition.search
    if not trust and search is not None and search.storage != DEFAULT_STORAGE:
        raise errors.UsageError(
            f"The sweep's file sets search.storage to {errors.quoted(search.storage)}, which is outside the sweep's directory. "
            "If the study should be there, say so: --trust, or trust=True in Python."
        )
    return changed_task(definition, {}, trust)


def _score(run: RecordedRun, name: str | None) -> float:
    """Returns the score of a run: the figure of this name, or the first of those that tables compare by default."""
    names = SCORES if name is None else (name,)
    values = [value for value in map(run.figure, names) if value is not None]
    if not values:
        raise errors.UsageError(errors.unknown("figure", names[-1], run.figures(), "Numbers in result.json"))
    return values[0]


def _read(definition: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[dict[str, Any], str | None, pathlib.Path | None]:
    """Returns a sweep's data, the text of its file, and its directory if that is what is named."""
    if isinstance(definition, Mapping):
        return dict(definition), None, None
    path = pathlib.Path(definition)
    directory = path if path.is_dir() else None
    return *read_definition(path / DEFINITION if directory else path), directory


def _default_directory(definition: Definition, file: str | os.PathLike[str] | Mapping[str, Any]) -> pathlib.Path:
    """Returns the directory of the sweep's own name, or that of its file."""
    name = definition.name or ("" if isinstance(file, Mapping) else pathlib.Path(file).stem)
    if not name or pathlib.Path(name).name != name or not name.isprintable() or name in (".", ".."):
        raise errors.UsageError(f'The sweep\'s name is {name!r}; expected a valid name for a directory: add name = "...".')
    return pathlib.Path("sweeps") / name


def _comparison(definition: Definition, path: pathlib.Path, trials: list[Trial], best: list[Trial]) -> Comparison | None:
    """Returns the comparison of the runs of a grid, or of the best settings of a search."""
    search = definition.search
    if not any(trial.scores for trial in (trials if search is None else best)):
        return None
    folders = [path / RUNS] if search is None else [path / BEST / str(trial.number) for trial in best]
    return compare(collect(folders), definition.score or (search.objective.figure if search else None) or None)
