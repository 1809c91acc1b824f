"""Resumes a run, from its directory to its end."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import attrs
import keras

from agentlab import configuration, errors
from agentlab.checks import limits, scalars
from agentlab.foreign.part_faults import parts_guarded
from agentlab.model import ModelBuilder
from agentlab.runs import commands
from agentlab.runs.checkpoints import Checkpoint, Checkpoints
from agentlab.runs.checkpoints.choice import check_agent, check_whole, newest
from agentlab.runs.files.run_config import RunConfig, config_bytes, open_run, read_config
from agentlab.runs.files.run_directory import CONFIG, RESULT, Result, RunDirectory
from agentlab.runs.loading import agent_of, unfit
from agentlab.runs.model_building import weights_within
from agentlab.runs.run import Run
from agentlab.runs.running import never
from agentlab.runs.session.display import Display
from agentlab.runs.session.session import Session
from agentlab.runs.trackers.following import build_following
from agentlab.runs.training import Training
from agentlab.system import files, machine
from agentlab.system.files import UnreadableError
from agentlab.system.folder import Folder
from agentlab.task import Task
from agentlab.tracker import Metrics, Tracker


@parts_guarded()
def resume(
    run_dir: str | os.PathLike[str],
    *,
    steps: int | None = None,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    trust: bool = False,
    quiet: bool = True,
    stop: Callable[[], bool] = never,
    trackers: Iterable[Tracker] = (),
    on_report: Callable[[Metrics], object] | None = None,
) -> Run:
    """Resumes a run from its newest complete checkpoint, bit for bit as if it had never ended.

    A run that is finished is returned as it is, `finished_before` being true, unless the budget grows; nothing is written.

    Args:
        run_dir: of the run; nobody else may be running it.
        steps: a larger budget, to extend the run; its own by default.
        model: the Keras model of your own that the run was begun with.
        objects: other objects that the run was started with, made again, as nested tables: `{"trainer": {"optimizer": ...}}`.
        trust: whether its config.json may have modules imported that no installed package registers environments from, and ask
            for what only a user may ask for.
        quiet: show no progress.
        stop: as of `run`.
        trackers: as of `run`; those that the task names follow the run again anyway.
        on_report: as of `run`.

    Raises:
        UsageError: the directory holds no run, another process holds it, or the run's parts are no longer available.
        CheckpointFault: there are checkpoints, but all of them are damaged.
        AgentlabError: as by `run`.
    """
    limits.check_path(run_dir)
    path = pathlib.Path(run_dir)

    def read(folder: Folder) -> tuple[RunConfig, Task]:
        config = read_config(folder, path, trust)
        return config, configuration.with_objects(_extended(config.task, steps, path), objects or {})

    # Errors are reported before anything is locked or written.
    config, task = read(open_run(run_dir))
    if steps is None and (run := _finished_before(path, task, config, model)) is not None:
        return run

    # From here on nobody else writes to the directory, and what it holds is read once more.
    with contextlib.ExitStack() as ending:
        directory = RunDirectory.open(path)
        ending.callback(directory.close)
        config, task = read(directory.folder)
        if (run := _finished_before(path, task, config, model)) is not None:
            return run
        checkpoint = _checkpoint_of(directory, task)
        _warn_of_differences(config.data, "the run was begun")
        following = build_following(task, trackers, quiet, on_report)
        session = _session(task, config, checkpoint, model, stop, following.progress)
        ending.pop_all()  # the session closes the directory
    return Training(session, directory, following, lambda: _continue(session, directory, checkpoint, config)).run_to_end()


def _session(
    task: Task,
    config: RunConfig,
    checkpoint: Checkpoint | None,
    model: keras.Model | ModelBuilder | None,
    stop: Callable[[], bool],
    display: Display,
) -> Session:
    """Returns the session of a run that is resumed from a checkpoint, with no more weights than that has.

    Raises:
        UnfitCheckpoint: the checkpoint can't be read.
    """
    try:
        with weights_within(checkpoint.file("agent").num_weights() if checkpoint else None):
            return Session(task, config.seed, model, stop, display)
    except UnreadableError as error:
        raise unfit(checkpoint, error) from error


def _checkpoint_of(directory: RunDirectory, task: Task) -> Checkpoint | None:
    """Returns the newest whole checkpoint of a run; None if it has to begin again.

    Raises:
        UsageError: the run is beyond its budget.
    """
    directory.checkpoints.sweep()
    checkpoint = newest(directory.checkpoints, lambda checkpoint: check_whole(checkpoint, directory.metrics_bytes))
    if checkpoint is None:
        _check_beginning(directory)
    elif checkpoint.step > task.total_steps:
        raise errors.UsageError(
            f"The run has already taken {checkpoint.step:,} steps, more than its budget of {task.steps:,}. Give a larger "
            f"one by --steps {checkpoint.step}."
        )
    return checkpoint


def _extended(task: Task, steps: int | None, path: pathlib.Path) -> Task:
    """Returns the task with a budget of so many steps.

    Raises:
        UsageError: that is less than its own.
    """
    if steps is None:
        return task
    steps = scalars.whole(steps, "--steps", 1)
    if steps < task.steps:
        raise errors.UsageError(
            f"--steps is {steps:,}, less than the run's budget of {task.steps:,}, which can only grow. Leave --steps out to "
            f"finish the run; '{commands.command('evaluate', path, task)}' evaluates what it has learned so far."
        )
    return attrs.evolve(task, steps=steps)


def _finished_before(path: pathlib.Path, task: Task, config: RunConfig, model: keras.Model | ModelBuilder | None) -> Run | None:
    """Returns the run if its result.json is of the whole budget of `task`, or of a goal that was reached; else None."""
    try:
        result = cast("Result", files.read_json(path / RESULT))
    except UnreadableError:  # missing, or damaged: it is made again
        return None
    goal, best = config.task.evaluation.stop_return, result.get("best")
    solved = goal is not None and isinstance(best, dict) and _number(best, "return_mean") >= goal
    if _number(result, "steps") < task.total_steps and not (solved and task.steps == config.task.steps):
        return None
    checkpoint = newest(Checkpoints(path / "checkpoints"), check_agent)
    if checkpoint is None:
        return None
    return Run(task, config.seed, path, agent_of(task, config, checkpoint, model), result, finished_before=True)


def _number(table: Mapping[str, Any], name: str) -> float:
    """Returns a number in a file's table, or minus infinity without one."""
    value = table.get(name)
    return value if type(value) in (int, float) else -math.inf  # type: ignore[return-value]


def warn_of_differences(config: str) -> None:
    """Warns if this machine, its versions or threads are not those that a run's config.json records."""
    _warn_of_differences(configuration.read_run_config(pathlib.Path(config), trust=True)[2], "that run was begun")


def _warn_of_differences(facts: dict[str, Any], when: str) -> None:
    differences = machine.differences(facts)
    if differences:
        warnings.warn(
            f"Something has changed since {when}, so numbers may differ in their last bits: {'; '.join(differences)}.",
            errors.RunWarning,
            stacklevel=3,
        )


def _check_beginning(directory: RunDirectory) -> None:
    """Warns, where there is no checkpoint, that the run starts again, and of metrics that are lost by that.

    Raises:
        CheckpointFault: the run had ended.
    """
    path = directory.path
    if directory.folder.has(RESULT):
        raise errors.CheckpointFault(
            f"{str(path)!r} is a finished run without checkpoints. Restore them from a copy, or "
            f"remove its {RESULT} as well to start again."
        )
    lost = ", and the metrics it had are overwritten" if directory.metrics_bytes else ""
    warnings.warn(f"{str(path)!r} holds no checkpoint: the run starts again at step 0{lost}.", errors.RunWarning, stacklevel=3)


def _continue(session: Session, directory: RunDirectory, checkpoint: Checkpoint | None, config: RunConfig) -> None:
    if session.agent.spec.as_data() != config.spec.as_data():
        raise errors.UsageError(
            f"The environment {session.agent.spec.name!r} has changed since the run began: its spec is not the one in "
            f"{CONFIG}. Restore the environment or its data."
        )
    begun_on = {name: config.data.get(name) for name in machine.facts()} if checkpoint is not None else {}
    directory.write_config(config_bytes({**session.config(config.inexact), **begun_on}))
    try:
        session.resume(checkpoint, config.inexact, config.data)
    except UnreadableError as error:
        raise unfit(checkpoint, error) from error
    finally:
        if checkpoint is not None:
            checkpoint.close()
