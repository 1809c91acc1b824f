"""Runs, resumes and loads: from a task to a run, from a run's directory to its end or back to the agent."""

from __future__ import annotations

import math
import os
import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs
import keras

from agentlab import configuration, errors, settings
from agentlab.checks import limits, scalars
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import MODEL, Agent, model_variables
from agentlab.model import ModelBuilder
from agentlab.runs import resuming, snapshot
from agentlab.runs.checkpoint_choice import check_agent, check_whole, chosen, newest
from agentlab.runs.checkpoints import Checkpoint, Checkpoints
from agentlab.runs.composition import build_agent, resolved
from agentlab.runs.init_from import InitialWeights
from agentlab.runs.model_building import weights_within
from agentlab.runs.run_config import RunConfig, config_bytes, open_run, read_config, version_1_of
from agentlab.runs.run_directory import CHECKPOINTS, CONFIG, RESULT, Result, RunDirectory
from agentlab.runs.session import Run, Session
from agentlab.runs.training import Training
from agentlab.system import files, machine
from agentlab.system.files import UnreadableError
from agentlab.system.ranges import CheckedFile
from agentlab.task import Task
from agentlab.tensors import variables
from agentlab.trainer import is_of_updater


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
    init_from: str | os.PathLike[str] | None = None,
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
        init_from: directory of a run, of which the networks begin with the weights; they have to be of the same shapes.
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
    objects: dict[str, Any] = {"model": model, "environment": environment}
    training = train(task, seed, changes, **objects, run_dir=run_dir, init_from=init_from, quiet=quiet, stop=stop)
    return _finished(training, on_report)


@parts_guarded()
def train(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    environment: Any = None,
    run_dir: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = _never,
) -> Training:
    """Returns a run that trains while its lines of metrics are iterated: `for line in agentlab.train("dqn-cartpole"): ...`.

    Arguments and errors are those of `run`, which are raised here if nothing can be begun.
    """
    if run_dir is not None:
        limits.check_path(run_dir)

    # Everything that can be refused is refused before the directory is made.
    resolved_task, seed = resolved(task, changes, environment), scalars.whole(seed, "The seed")
    resolved_task.as_data()  # what config.json can't hold is reported before anything is written
    weights = None if init_from is None else InitialWeights(init_from)
    session = Session(resolved_task, seed, model, quiet, stop, weights)
    try:
        inexact = session.inexact()
        snapshot.check_writable(session.agent)
        directory = RunDirectory.create(run_dir, resolved_task.name, seed, config_bytes(session.config(inexact)), _or_resume)
    except BaseException:
        session.close()
        raise

    def begin() -> None:
        try:
            session.begin(directory, inexact)
        except (errors.UsageError, errors.PartFault, errors.EnvironmentFault):  # mostly seen as the loop is compiled
            directory.discard()
            raise

    return Training(session, directory, begin)


def _or_resume(path: pathlib.Path) -> str:
    """Returns the end of a message with the command that resumes the run in a directory; empty without one."""
    try:
        is_resumable = not version_1_of(files.read_json(path / CONFIG))
    except UnreadableError:
        is_resumable = (path / CONFIG).is_file()
    return f", or '{resuming.command_of('resume', path)}' resumes it" if is_resumable else ""


@parts_guarded()
def resume(
    run_dir: str | os.PathLike[str],
    *,
    steps: int | None = None,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    trust: bool = False,
    quiet: bool = True,
    stop: Callable[[], bool] = _never,
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

    Raises:
        UsageError: the directory holds no run, another process holds it, or the run's parts are no longer available.
        CheckpointFault: there are checkpoints, but all of them are damaged.
        AgentlabError: as by `run`.
    """
    path = pathlib.Path(run_dir)
    config = read_config(open_run(path), path, trust)  # errors are reported before anything is locked or written
    task = _extended(config.task, steps, path)
    if (
        steps is None
        and (run := _finished_before(path, configuration.with_objects(task, objects or {}), config, model)) is not None
    ):
        return run
    directory = RunDirectory.open(path)
    try:
        config = read_config(directory.folder, path, trust)
        task = configuration.with_objects(_extended(config.task, steps, path), objects or {})
        if (run := _finished_before(path, task, config, model)) is not None:
            directory.close()
            return run

        # Under the lock: leftovers of a process that was killed are removed first.
        directory.checkpoints.sweep()
        checkpoint = newest(directory.checkpoints, lambda checkpoint: check_whole(checkpoint, directory.metrics_bytes()))
        if checkpoint is not None and checkpoint.step > task.total_steps:
            raise errors.UsageError(
                f"The run has already taken {checkpoint.step:,} steps, more than its budget of {task.steps:,}. Give a larger "
                f"one by --steps {checkpoint.step}."
            )
        if checkpoint is None:
            _check_beginning(directory)
        _warn_of_differences(config.data, "the run was begun")
        with weights_within(_num_weights(checkpoint) if checkpoint else None):
            session = Session(task, config.seed, model, quiet, stop)
    except UnreadableError as error:
        directory.close()
        raise _unfit(checkpoint, error) from error
    except BaseException:
        directory.close()
        raise
    return _finished(Training(session, directory, lambda: _continue(session, directory, checkpoint, config)))


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
            f"finish the run; '{resuming.command('evaluate', path, task)}' evaluates what it has learned so far."
        )
    return attrs.evolve(task, steps=steps)


def _finished_before(path: pathlib.Path, task: Task, config: RunConfig, model: keras.Model | ModelBuilder | None) -> Run | None:
    """Returns the run if its result.json is that of the whole budget of `task`, or of a goal that was reached; else None."""
    try:
        result = cast("Result", files.read_json(path / RESULT))
    except UnreadableError:  # missing, or damaged: it is made again
        return None

    # A goal that was reached ends a run before its budget; a larger budget continues it.
    goal, best = config.task.evaluation.stop_return, result.get("best")
    solved = goal is not None and isinstance(best, dict) and _number(best, "return_mean") >= goal
    if _number(result, "steps") < task.total_steps and not (solved and task.steps == config.task.steps):
        return None
    checkpoint = newest(Checkpoints(path / "checkpoints"), check_agent)
    if checkpoint is None:
        return None
    return Run(task, config.seed, path, _loaded(task, config, checkpoint, model), result, finished_before=True)


def _number(table: Mapping[str, Any], name: str) -> float:
    """Returns a number in a file's table, or minus infinity without one."""
    value = table.get(name)
    return value if type(value) in (int, float) else -math.inf  # type: ignore[return-value]


def load(
    run_dir: str | os.PathLike[str],
    step: int | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    trust: bool = False,
) -> Agent:
    """Returns the trained agent of a run, from config.json and a checkpoint; nothing of the run's files is executed.

    Args:
        run_dir: of the run.
        step: of the checkpoint; by default the newest that is whole.
        model: the Keras model of your own that the run was begun with.
        objects: other objects that the run was begun with, as of `resume`; without an optimizer the agent only acts.
        trust: as of `resume`.

    Raises:
        UsageError: the directory holds no run, or no checkpoint that fits its config.
        CheckpointFault: there are checkpoints, but all of them are damaged.
    """
    return load_run(run_dir, step, model=model, objects=objects, trust=trust)[2]


@parts_guarded()
def load_run(
    run_dir: str | os.PathLike[str],
    step: int | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    trust: bool = False,
) -> tuple[Task, int, Agent]:
    """Returns a run's task, seed and trained agent; arguments and errors as of `load`."""
    path = pathlib.Path(run_dir)
    step = None if step is None else scalars.whole(step, "The step of the checkpoint", 0)

    # The newest checkpoint may be removed while it is read, by a run under way: then the next one is read.
    folder = open_run(path)
    config = read_config(folder, path, trust)
    task = configuration.with_objects(config.task, objects or {})
    checkpoints = Checkpoints(path / CHECKPOINTS, folder)
    while True:
        checkpoint = newest(checkpoints, check_agent) if step is None else chosen(checkpoints, step)
        if checkpoint is None:
            raise errors.UsageError(
                f"{str(path)!r} holds no checkpoint yet; '{resuming.command('resume', path, task)}' trains it."
            )
        try:
            agent = _loaded(task, config, checkpoint, model)
        except UnreadableError as error:
            raise _unfit(checkpoint, error) from error
        finally:
            checkpoint.close()
        if step is not None or checkpoints.has(checkpoint.step):
            return task, config.seed, agent
        # The run is under way, and has made room for newer checkpoints meanwhile.


def _loaded(task: Task, config: RunConfig, checkpoint: Checkpoint, model: keras.Model | ModelBuilder | None) -> Agent:
    """Returns a run's agent as of a checkpoint; raises UnreadableError if it does not fit."""
    acting = bool(settings.former_object(task.trainer.settings.get("optimizer")))
    file = checkpoint.file("agent")
    with weights_within(file.num_weights(), lambda model: file.check(model_variables(model), prefix=MODEL)):
        agent = build_agent(_without_optimizer(task) if acting else task, config.seed, config.spec, model)

    # Without its optimizer an agent only acts, and needs no optimizer's variables.
    known = agent.variables()
    if not acting:
        variables.assign(file, known, agent.ranges())
        return agent
    needed = {name: variable for name, variable in known.items() if not is_of_updater(name)}
    file.check({**file.likes(is_of_updater), **needed})
    checked = CheckedFile(file, {name: span for name, span in agent.ranges().items() if name in needed})
    for name, variable in needed.items():
        variable.assign(checked.read(name, variable))
    return agent


def _num_weights(checkpoint: Checkpoint) -> int:
    return checkpoint.file("agent").num_weights()


def _without_optimizer(task: Task) -> Task:
    """Returns the task with an optimizer in its trainer that makes no update."""
    changes = {**task.trainer.settings, "optimizer": _NoOptimizer(0.0)}
    return attrs.evolve(task, trainer=attrs.evolve(task.trainer, settings=changes))


class _NoOptimizer(keras.optimizers.Optimizer):
    """A placeholder of an optimizer that was an object, in an agent that only acts."""

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


def warn_of_differences(config: str) -> None:
    """Warns if this machine, its versions or threads are not those that a run's config.json tells of."""
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
    lost = ", and the metrics it had are overwritten" if directory.metrics_bytes() else ""
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
        session.resume(directory, checkpoint, config.inexact, config.data)
    except UnreadableError as error:
        raise _unfit(checkpoint, error) from error
    finally:
        if checkpoint is not None:
            checkpoint.close()


def _unfit(checkpoint: Checkpoint | None, error: UnreadableError) -> errors.UnfitCheckpoint:
    where = str(checkpoint.path) if checkpoint else "the checkpoint"
    return errors.UnfitCheckpoint(
        f"Checkpoint {where!r} does not fit the run's {CONFIG}: {error}. Was one of them replaced? Bring the right "
        "one back, or remove the checkpoint to resume from the one before it."
    )
