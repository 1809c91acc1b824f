"""The task of `agentlab run`: by its name, from a file, or chosen by the environment's spaces; with the user's changes."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from agentlab import configuration, errors
from agentlab.program import process, tensorflow_setup
from agentlab.system import console


def resolve_task(options: argparse.Namespace) -> tuple[Any, int]:
    """Returns the task, with all changes, and the seed."""
    from agentlab import task
    from agentlab.registry import task_changes

    of_file: dict[str, Any] = {}
    if options.config and options.config.endswith(".json"):
        chosen_task, seed, _ = configuration.read_run_config(pathlib.Path(options.config), options.trust)
        if options.task is not None and options.task.rpartition(":")[2] != chosen_task.name:
            raise errors.UsageError(
                f"TASK is {options.task!r}, but {options.config!r} is of a run of {chosen_task.name!r}. "
                "Leave TASK out to run that."
            )
    else:
        of_file = configuration.read_config(options.config, options.trust) if options.config else {}
        if options.task is None:
            options.parser.error("the following arguments are required: TASK")
        chosen_task, seed = _load_task(options, of_file), 0

    # A task of another type is refused by the runner, with what is wrong.
    if not isinstance(chosen_task, task.Task):
        return options.task, options.seed or 0
    chosen_task = task_changes.changed(chosen_task, _changes(options), of_file)
    return configuration.trusted(chosen_task) if options.trust else chosen_task, seed if options.seed is None else options.seed


def _load_task(options: argparse.Namespace, of_file: dict[str, Any]) -> Any:
    """Returns the task that is named, or chosen by the environment's spaces."""
    from agentlab.registry import generic_tasks, plugins

    if options.task != generic_tasks.AUTO:
        return plugins.load("task", options.task)
    tensorflow_setup.import_runs(generic_tasks.any_task())  # environments may need TensorFlow
    from agentlab.runs import composition

    # The reason is printed before anything else can go wrong.
    with process.plain_warnings():
        choice = composition.choose_task(_changes(options), {} if options.trust else of_file)
    if not options.quiet:
        console.print_line(f"{choice.reason} 'agentlab info {choice.task.name}' shows its settings.")
    return choice.task


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the user's changes to a task: first whole parts, then single settings."""
    from agentlab import task
    from agentlab.registry import environment_objects

    tree: dict[str, Any] = {}
    # An environment is named in a word, other parts by their names.
    others = [kind for kind in task.PART_KINDS if kind != "environment" and getattr(options, kind)]
    swaps: dict[str, Any] = {kind: {"name": getattr(options, kind)} for kind in others}
    if options.environment:
        swaps |= environment_objects.changes_to(options.environment)
    plain = {name: getattr(options, name) for name in ("steps", "gear", "execution") if getattr(options, name) is not None}
    trackers = {name.rpartition(":")[2]: {"name": name} for name in options.tracker}
    for changes in ({**swaps, **plain, **({"trackers": trackers} if trackers else {})}, configuration.dotted(options.set)):
        tree = configuration.merged(tree, changes)
    return tree
