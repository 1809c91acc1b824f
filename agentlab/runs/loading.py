"""From a run's files back to its agent."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import configuration, errors, settings
from agentlab.checks import scalars
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import MODEL, Agent, model_variables
from agentlab.model import ModelBuilder
from agentlab.registry import task_changes
from agentlab.runs import commands
from agentlab.runs.agent_files import AgentFiles
from agentlab.runs.checkpoints import Checkpoint, Checkpoints, snapshot
from agentlab.runs.checkpoints.choice import check_agent, chosen, newest
from agentlab.runs.composition import build_agent
from agentlab.runs.files.run_config import RunConfig, open_run, read_config
from agentlab.runs.files.run_directory import CHECKPOINTS, CONFIG
from agentlab.runs.model_building import weights_within
from agentlab.system.files import UnreadableError
from agentlab.system.ranges import CheckedFile
from agentlab.task import Task
from agentlab.tensors import variables
from agentlab.trainer import is_of_updater


def load(
    run_dir: str | os.PathLike[str],
    step: int | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    memory: bool = False,
    trust: bool = False,
) -> Agent:
    """Returns the agent of a run, or one that `Agent.save` saved, from its files; nothing of them is executed.

    Args:
        run_dir: directory of the run or the agent.
        step: of the checkpoint; by default the newest that is whole.
        model: the Keras model of your own that the run was begun with.
        objects: other objects that the run was begun with, as of `resume`; without an optimizer the agent only acts.
        memory: whether its memory is to hold again what it held, if that was saved; a run's checkpoint always has it.
        trust: as of `resume`.

    Raises:
        UsageError: the directory holds no run, or no checkpoint that fits its config.
        CheckpointFault: there are checkpoints, but all of them are damaged.
    """
    return load_run(run_dir, step, model=model, objects=objects, memory=memory, trust=trust)[2]


@parts_guarded()
def load_run(
    run_dir: str | os.PathLike[str],
    step: int | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    memory: bool = False,
    trust: bool = False,
    changes: dict[str, Any] | None = None,
) -> tuple[Task, int, Agent]:
    """Returns a run's task, seed and trained agent; arguments and errors as of `load`.

    `changes` to the task, as nested tables, take effect where it acts, such as another `evaluation` or a setting of its model.
    """
    step = None if step is None else scalars.whole(step, "The step of the checkpoint", 0)
    folder = open_run(run_dir)
    path = pathlib.Path(run_dir)
    config = read_config(folder, path, trust)
    task = task_changes.changed(configuration.with_objects(config.task, objects or {}), changes or {})
    checkpoints = Checkpoints(path / CHECKPOINTS, folder)
    while True:
        checkpoint = newest(checkpoints, check_agent) if step is None else chosen(checkpoints, step)
        if checkpoint is None:
            raise errors.UsageError(
                f"{str(path)!r} holds no checkpoint yet; '{commands.command('resume', path, task)}' trains it."
            )
        try:
            agent = agent_of(task, config, checkpoint, model)
            if memory:
                _restore_memory(agent, checkpoint)
        except UnreadableError as error:
            if step is not None or checkpoints.has(checkpoint.step):
                raise unfit(checkpoint, error) from error
            continue  # its memory is gone, too
        finally:
            checkpoint.close()
        if step is not None or checkpoints.has(checkpoint.step):
            return task, config.seed, agent
        # The run is under way, and has removed this checkpoint to make room for newer ones.


def agent_of(task: Task, config: RunConfig, checkpoint: Checkpoint, model: keras.Model | ModelBuilder | None) -> Agent:
    """Returns a run's agent as of a checkpoint; raises UnreadableError if it does not fit."""
    acting = bool(settings.former_object(task.trainer.settings.get("optimizer")))
    file = checkpoint.file("agent")
    with weights_within(file.num_weights(), lambda model: file.check(model_variables(model), prefix=MODEL)):
        agent = build_agent(_without_optimizer(task) if acting else task, config.seed, config.spec, model)
        agent.files = AgentFiles(task, config.seed)  # not of the one without
    snapshot.restore_live(agent, checkpoint, is_whole=False)

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


def _restore_memory(agent: Agent, checkpoint: Checkpoint) -> None:
    """Has an agent's memory hold what it held when a checkpoint was taken; raises UnreadableError if it doesn't fit."""
    if not checkpoint.has("memory"):
        raise errors.UsageError(f"{str(checkpoint.path)!r} holds no memory: it was saved without. Leave memory=True out.")
    # All is checked before anything is assigned.
    remembered, file = agent.memory_variables(), checkpoint.file("memory")
    file.check(remembered, short=True)
    variables.assign_by_rows(file, remembered, agent.learner.memory_ranges())
    agent.learner.memory.cut(tf.range(agent.num_environments, dtype=tf.int64))  # the next step begins an episode in every row


def _without_optimizer(task: Task) -> Task:
    """Returns the task with an optimizer in its trainer that makes no update."""
    changes = {**task.trainer.settings, "optimizer": _NoOptimizer(0.0)}
    return attrs.evolve(task, trainer=attrs.evolve(task.trainer, settings=changes))


class _NoOptimizer(keras.optimizers.Optimizer):
    """A placeholder of an optimizer that was an object, in an agent that only acts."""

    def build(self, variables: Any) -> None:
        """Creates no variables."""

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        raise errors.UsageError(
            "This agent was loaded without its optimizer, an object that config.json can't hold, so that it can't learn. Load "
            'it with objects={"trainer": {"optimizer": ...}}.'
        )


def unfit(checkpoint: Checkpoint | None, error: UnreadableError) -> errors.UnfitCheckpoint:
    """Returns the error of a checkpoint that is whole but not of its run."""
    where = str(checkpoint.path) if checkpoint else "the checkpoint"
    return errors.UnfitCheckpoint(
        f"Checkpoint {where!r} does not fit the run's {CONFIG}: {error}. Was one of them replaced? Bring the right "
        "one back, or remove the checkpoint to resume from the one before it."
    )
