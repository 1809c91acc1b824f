"""From a task to its run: begun in a new directory, trained and evaluated."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import keras

from agentlab import errors
from agentlab.checks import limits, scalars
from agentlab.foreign.part_faults import parts_guarded
from agentlab.model import ModelBuilder
from agentlab.runs import commands
from agentlab.runs.checkpoints import snapshot
from agentlab.runs.checkpoints.initial_weights import InitialWeights
from agentlab.runs.composition import resolved
from agentlab.runs.files.provenance import checked_tags
from agentlab.runs.files.run_config import config_bytes, version_1_of
from agentlab.runs.files.run_directory import CONFIG, RunDirectory
from agentlab.runs.run import Run
from agentlab.runs.session.session import Session
from agentlab.runs.trackers.following import build_following
from agentlab.runs.training import Training
from agentlab.system import files
from agentlab.system.files import UnreadableError
from agentlab.task import Task
from agentlab.tracker import Metrics, Tracker


def never() -> bool:
    """Returns False: nobody stops the run."""
    return False


def run(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    environment: Any = None,
    steps: int | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = never,
    trackers: Iterable[Tracker] = (),
    tags: Iterable[str] = (),
    requires: Iterable[str] = (),
    on_report: Callable[[Metrics], object] | None = None,
) -> Run:
    """Runs a task to the end of its budget and evaluates it.

    Args:
        task: its name, a task of your own, or "auto" for the generic task that suits the spaces of `environment`.
        seed: determines all randomness.
        changes: to the task, as nested tables: `{"steps": 10_000, "trainer": {"discount": 0.98}}`.
        model: a Keras model of your own, or what builds one, instead of the task's.
        environment: to learn in and to be judged in, instead of the task's: the name of an installed one, an id of Gymnasium's,
            `"module:ID"`, a file, `"my_env.py:MyEnv"`; or an object of your own: a `gymnasium.Env`, which is copied and left as
            it is, or a class or function that makes one without arguments.
        steps: the budget in environment steps, instead of the task's.
        run_dir: for the run's files; by default the first free of `runs/TASK/SEED-1`, `SEED-2`, ...
        init_from: directory of a run, of which the networks begin with the weights; they have to be of the same shapes.
        quiet: show no progress.
        stop: asked about twice a second; the run ends with a checkpoint when it answers True.
        trackers: objects that follow the run, besides those that the task names; what one raises is a warning.
        tags: of the run, by which `agentlab report --tag` chooses runs.
        requires: names of metrics without which nothing is begun: columns of metrics.jsonl, such as "loss", or numbers of
            result.json, such as "evaluation.accuracy".
        on_report: called with the metrics of each report; what it raises ends the run, with a checkpoint, and is raised here.

    Raises:
        UsageError: the task, a part, a setting or the directory is wrong, or the run would lack a metric that is required.
        EnvironmentFault: an environment failed.
        TrainingFault: learning became non-finite.
        WriteFault: a file can't be written.
        Interrupted: `stop` answered True; a checkpoint was written.

    Whatever ends a run, `resume` continues it from the newest checkpoint.
    """
    training = train(
        task, seed, changes, model=model, environment=environment, steps=steps, run_dir=run_dir, init_from=init_from,
        quiet=quiet, stop=stop, trackers=trackers, tags=tags, requires=requires, on_report=on_report,
    )  # fmt: skip
    return training.run_to_end()


@parts_guarded()
def train(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    environment: Any = None,
    steps: int | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = never,
    trackers: Iterable[Tracker] = (),
    tags: Iterable[str] = (),
    requires: Iterable[str] = (),
    on_report: Callable[[Metrics], object] | None = None,
) -> Training:
    """Returns a run that trains while its lines of metrics are iterated: `for line in agentlab.train("dqn-cartpole"): ...`.

    Arguments and errors are those of `run`, which are raised here if nothing can be begun.
    """
    if run_dir is not None:
        limits.check_path(run_dir)

    # Everything that can be refused is refused before the directory is made.
    here = _current_directory()
    resolved_task, seed = resolved(task, changes, environment, steps), scalars.whole(seed, "The seed")
    resolved_task.as_data()  # what config.json can't hold is reported before anything is written
    weights = None if init_from is None else InitialWeights(init_from)
    following, tags = build_following(resolved_task, trackers, quiet, on_report), checked_tags(tags)
    session = Session(resolved_task, seed, model, stop, following.progress, weights, tags)
    try:
        session.check_metrics(requires)
        inexact = session.inexact()
        snapshot.check_writable(session.agent)
        config = config_bytes(session.config(inexact))
        directory = RunDirectory.create(run_dir, resolved_task.name, seed, config, _or_resume, _root(here))
    except BaseException:
        session.close()
        raise

    def begin() -> None:
        try:
            session.begin(inexact)
        except (errors.UsageError, errors.PartFault, errors.EnvironmentFault):  # mostly seen as the loop is compiled
            directory.discard()
            raise

    return Training(session, directory, following, begin)


def _root(before: pathlib.Path) -> pathlib.Path:
    """Returns where runs are made: the directory `before` if environments that were tried out have changed the current one."""
    return pathlib.Path() if _current_directory() == before else before


def _current_directory() -> pathlib.Path:
    """Returns the current directory, "." if it has been removed."""
    try:
        return pathlib.Path.cwd()
    except FileNotFoundError:
        return pathlib.Path()


def _or_resume(path: pathlib.Path) -> str:
    """Returns the end of a message with the command that resumes the run in a directory; empty without one."""
    try:
        is_resumable = not version_1_of(files.read_json(path / CONFIG))
    except UnreadableError:
        is_resumable = (path / CONFIG).is_file()
    return f", or '{commands.command_of('resume', path)}' resumes it" if is_resumable else ""
