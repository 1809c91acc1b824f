"""From a task's name to its run, from a run's directory on to its end, and from its files back to the agent."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import keras

from agentlab import errors, settings
from agentlab import task as tasks
from agentlab.loop.agent import Agent
from agentlab.loop.composition import build_agent, resolved
from agentlab.model import ModelBuilder, weights_within
from agentlab.runs.checkpoints import Checkpoint, Checkpoints
from agentlab.runs.run_directory import CONFIG, RESULT, RunDirectory
from agentlab.runs.session import Run, Session
from agentlab.runs.training import Training
from agentlab.spec import EnvironmentSpec
from agentlab.system import arrays, machine
from agentlab.system.files import UnreadableError
from agentlab.task import Task
from agentlab.tensors import variables

OPTIMIZER = "trainer/optimizer/"  # how the names of its variables begin


def _never() -> bool:
    return False


def _ignore(line: dict[str, Any]) -> None:
    """Takes in a line of metrics and does nothing."""


def run(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    environment: Any = None,
    run_dir: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = _never,
    on_report: Callable[[dict[str, Any]], object] = _ignore,
) -> Run:
    """Runs a task to the end of its budget and evaluates it.

    Args:
        task: its name, or a task of your own.
        seed: determines all randomness.
        changes: to the task, as nested tables: `{"steps": 10_000, "trainer": {"discount": 0.98}}`.
        model: a Keras model of your own, or what builds one, instead of the task's.
        environment: a Gymnasium environment of your own instead of the task's: a `gymnasium.Env`, which is copied and left as
            it is, or a function without arguments that makes one.
        run_dir: for the run's files; by default the first free of `runs/TASK/SEED-1`, `SEED-2`, ...
        quiet: show no progress.
        stop: asked about twice a second; the run ends with a checkpoint when it answers True.
        on_report: called with each line of metrics.

    Raises:
        UsageError: the task, a part, a setting or the directory is wrong.
        EnvironmentFault: an environment failed.
        TrainingFault: learning became non-finite.
        WriteFault: a file can't be written.
        Interrupted: `stop` answered True; a checkpoint was written.

    Whatever ends a run, `resume` continues it from the newest checkpoint.
    """
    training = train(task, seed, changes, model=model, environment=environment, run_dir=run_dir, quiet=quiet, stop=stop)
    return _finished(training, on_report)


def train(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    environment: Any = None,
    run_dir: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = _never,
) -> Training:
    """Returns a run that trains while its lines of metrics are iterated: `for line in agentlab.train("dqn-cartpole"): ...`.

    Arguments and errors are those of `run`, which are raised here if nothing can be begun.
    """
    found = resolved(task, changes, environment)
    found.as_data()  # what config.json can't tell of is told before anything is written
    session = Session(found, seed, model, quiet, stop)
    inexact = session.inexact()
    directory = RunDirectory.create(run_dir, found, seed)
    return Training(session, directory, lambda: session.begin(directory, inexact))


def resume(
    run_dir: str | os.PathLike[str],
    *,
    steps: int | None = None,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = _never,
) -> Run:
    """Continues a run from its newest checkpoint that is whole, to the same bits as if it had never ended.

    Args:
        run_dir: of the run; nobody else may be running it.
        steps: a larger budget, to go on with a run that has ended.
        model: the Keras model of your own that the run was begun with.
        objects: other objects that the run was begun with, made anew, as nested tables: `{"trainer": {"optimizer": ...}}`.
        quiet: show no progress.
        stop: as of `run`.

    Raises:
        UsageError: the directory holds no run, somebody else holds it, or the run is not to be had any more as it was begun.
        CheckpointFault: there are checkpoints, but all of them are damaged.
        AgentlabError: as by `run`.
    """
    path = pathlib.Path(run_dir)
    _read_config(path)  # told before anything is locked or written
    directory = RunDirectory.open(path)
    try:
        config = _read_config(path)
        task = tasks.with_objects(config.task, objects or {})
        task = tasks.changed(task, {} if steps is None else {"steps": steps})
        directory.checkpoints.sweep()
        checkpoint = _newest(directory.checkpoints, lambda found: _check_whole(found, directory.metrics_bytes()))
        if checkpoint is not None and checkpoint.step > task.steps + task.num_environments:
            raise errors.UsageError(f"--steps is {steps}; the run has already taken {checkpoint.step:,}. Give more.")
        if checkpoint is None:
            _check_beginning(path, directory.metrics_bytes())
        _warn_of_differences(config.told, "the run was begun")
        with weights_within(checkpoint.sizes.get("agent.safetensors", 0) if checkpoint else None):
            session = Session(task, config.seed, model, quiet, stop)
    except BaseException:
        directory.close()
        raise
    return _finished(Training(session, directory, lambda: _continue(session, directory, checkpoint, config)))


def load(
    run_dir: str | os.PathLike[str],
    step: int | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
) -> Agent:
    """Returns the trained agent of a run, from config.json and a checkpoint; nothing of the run's files is executed.

    Args:
        run_dir: of the run.
        step: of the checkpoint; by default the newest that is whole.
        model: the Keras model of your own that the run was begun with.
        objects: other objects that the run was begun with, as of `resume`; without an optimizer the agent only acts.

    Raises:
        UsageError: the directory holds no run, or no checkpoint that fits its config.
        CheckpointFault: there are checkpoints, but all of them are damaged.
    """
    return load_run(run_dir, step, model=model, objects=objects)[2]


def load_run(
    run_dir: str | os.PathLike[str],
    step: int | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
) -> tuple[Task, int, Agent]:
    """Returns a run's task, seed and trained agent; arguments and errors as of `load`."""
    path = pathlib.Path(run_dir)
    config = _read_config(path)
    task = tasks.with_objects(config.task, objects or {})
    checkpoints = Checkpoints(path / "checkpoints")
    while True:
        checkpoint = _newest(checkpoints, _check_agent) if step is None else _chosen(checkpoints, step)
        if checkpoint is None:
            raise errors.UsageError(f"{str(path)!r} holds no checkpoint yet; 'agentlab resume {path}' trains it.")
        try:
            return task, config.seed, _loaded(task, config, checkpoint, model)
        except UnreadableError as error:
            if checkpoint.step in checkpoints.steps():
                raise _unfit(checkpoint, error) from error
            # The run is under way, and has made room for newer checkpoints meanwhile.


def _loaded(task: Task, config: _Config, checkpoint: Checkpoint, model: keras.Model | ModelBuilder | None) -> Agent:
    """Returns a run's agent as of a checkpoint; raises UnreadableError if it does not fit."""
    acting = bool(settings.former_object(task.trainer.settings.get("optimizer")))
    with weights_within(checkpoint.sizes["agent.safetensors"]):  # the environment itself may be out of reach
        agent = build_agent(_without_optimizer(task) if acting else task, config.seed, config.spec, model)
    file, wanted = checkpoint.file("agent"), agent.variables()
    if not acting:
        variables.assign(file, wanted)
        return agent
    kept = {name: variable for name, variable in wanted.items() if not name.startswith(OPTIMIZER)}
    arrays.check(file, {**{name: array for name, array in arrays.read_all(file).items() if name.startswith(OPTIMIZER)}, **kept})
    for name, variable in kept.items():
        variable.assign(arrays.read_one(file, name, variable))
    return agent


def _without_optimizer(task: Task) -> Task:
    """Returns the task with an optimizer in its trainer that makes no update."""
    return attrs.evolve(task, trainer=tasks.Part(task.trainer.name, {**task.trainer.settings, "optimizer": _NoOptimizer(0.0)}))


class _NoOptimizer(keras.optimizers.Optimizer):
    """Stands for an optimizer that was an object, in an agent that is only to act."""

    def build(self, variables: Any) -> None:
        """Makes no variables."""

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        raise errors.UsageError(
            "This agent was loaded without its optimizer, an object that config.json can't hold, so that it can't learn. Load "
            'it with objects={"trainer": {"optimizer": ...}}.'
        )


def _finished(training: Training, on_report: Callable[[dict[str, Any]], object] = _ignore) -> Run:
    """Returns the run, having taken every line of its training."""
    with training:
        for line in training:
            on_report(line)
    return training.run


@attrs.frozen
class _Config:
    """What config.json says: the task, the seed, the environment's spec, why the run is inexact, and what it ran on."""

    task: Task
    seed: int
    spec: EnvironmentSpec
    inexact: str
    told: dict[str, Any]


def _read_config(path: pathlib.Path) -> _Config:
    if not (path / CONFIG).is_file():
        raise errors.UsageError(f"{str(path)!r} is not a run: it holds no {CONFIG}. Name a directory such as runs/TASK/0-1.")
    task, seed, told = tasks.read_run_config(path / CONFIG)
    inexact = told.get("inexact", "")
    return _Config(
        task, seed, EnvironmentSpec.from_data(told.get("spec") or {}), inexact if isinstance(inexact, str) else "", told
    )


def warn_of_differences(config: str) -> None:
    """Warns if this machine, its versions or threads are not those that a run's config.json tells of."""
    _warn_of_differences(tasks.read_run_config(pathlib.Path(config))[2], "that run was begun")


def _warn_of_differences(told: dict[str, Any], when: str) -> None:
    found = machine.differences(told)
    if found:
        warnings.warn(
            f"This is not as when {when}, so that numbers may differ in their last bits: {'; '.join(found)}.",
            errors.RunWarning,
            stacklevel=3,
        )


def _newest(checkpoints: Checkpoints, check: Callable[[Checkpoint], None]) -> Checkpoint | None:
    """Returns the checkpoint of the highest step that passes a check, None if there are none; warns of those passed over.

    Raises:
        CheckpointFault: none of those there are passes.
    """
    reasons = []
    for step in reversed(checkpoints.steps()):
        try:
            found = checkpoints.open(step)
            check(found)
        except UnreadableError as error:
            if step not in checkpoints.steps():  # removed meanwhile by the run, which is under way and has a newer one
                return _newest(checkpoints, check)
            reasons.append(f"step-{step}: {error}")
            continue
        for reason in reasons:
            warnings.warn(f"Checkpoint passed over: {reason}. Using step-{step}.", errors.RunWarning, stacklevel=3)
        return found
    if reasons:
        raise errors.CheckpointFault(
            f"No checkpoint in {str(checkpoints.directory)!r} is whole: {'; '.join(reasons)}. Bring one back from a copy, or "
            "remove them all to begin anew."
        )
    return None


def _chosen(checkpoints: Checkpoints, step: int) -> Checkpoint:
    try:
        found = checkpoints.open(step)
        _check_agent(found)
    except UnreadableError as error:
        there = ", ".join(f"{known:,}" for known in checkpoints.steps()) or "none"
        raise errors.UsageError(
            f"The checkpoint of step {step:,} can't be used: {error}. There are those of: {there}."
        ) from error
    return found


def _check_beginning(path: pathlib.Path, metrics_bytes: int) -> None:
    """Warns, where there is no checkpoint, of metrics that beginning anew makes away with.

    Raises:
        CheckpointFault: the run had ended.
    """
    if (path / RESULT).exists():
        raise errors.CheckpointFault(
            f"{str(path)!r} is of a run that ended, and holds no checkpoint any more. Bring them back from a copy, or "
            f"remove its {RESULT} as well to begin anew."
        )
    if metrics_bytes:
        warnings.warn(
            f"{str(path)!r} holds no checkpoint: the run begins anew, and the metrics it had are overwritten.",
            errors.RunWarning,
            stacklevel=3,
        )


def _check_agent(checkpoint: Checkpoint) -> None:
    checkpoint.verify(["agent"])


def _check_whole(checkpoint: Checkpoint, metrics_bytes: int) -> None:
    """Raises UnreadableError if a checkpoint is not one to resume from."""
    checkpoint.verify()
    kept = checkpoint.facts["metrics_bytes"]
    if kept > metrics_bytes:
        raise UnreadableError(f"metrics.jsonl has {metrics_bytes:,} bytes, of which the checkpoint counts {kept:,}")


def _continue(session: Session, directory: RunDirectory, checkpoint: Checkpoint | None, config: _Config) -> None:
    if session.agent.spec.as_data() != config.spec.as_data():
        raise errors.UsageError(
            f"The environment {session.agent.spec.name!r} is not as when the run was begun: it shows and accepts something "
            f"else than {CONFIG} says. Bring the environment or its data back as it was."
        )
    try:
        session.resume(directory, checkpoint, config.inexact, config.told)
    except UnreadableError as error:
        raise _unfit(checkpoint, error) from error


def _unfit(checkpoint: Checkpoint | None, error: UnreadableError) -> errors.UsageError:
    where = str(checkpoint.path) if checkpoint else "the checkpoint"
    return errors.UsageError(f"Checkpoint {where!r} does not fit the run's {CONFIG}: {error}. Was one of them exchanged?")
