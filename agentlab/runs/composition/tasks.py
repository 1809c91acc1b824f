"""The task of a run: by its name or as an object, with changes."""

from __future__ import annotations

import types
from typing import Any

from agentlab import errors
from agentlab.registry import environment_objects, plugins
from agentlab.registry import task_changes as changing
from agentlab.task import Task


def resolved(task: str | Task, changes: dict[str, Any] | None = None, environment: Any = None) -> Task:
    """Returns the task of a name, or `task` itself, in an environment given as an object if one is, with changes.

    Raises:
        UsageError: there is no such task, or an argument is of another kind.
    """
    if not isinstance(task, (str, Task)):
        raise errors.UsageError(
            f"The task is {errors.quoted(task)}; expected the name of one, such as 'dqn-cartpole', or an agentlab.Task."
        )
    if not isinstance(changes, (dict, types.NoneType)):
        raise errors.UsageError(
            f'The changes are {errors.quoted(changes)}; expected nested tables, such as {{"trainer": {{"discount": 0.9}}}}.'
        )

    # The environment before the changes, which may set its arguments.
    task_of_run = find_task(task) if isinstance(task, str) else task
    if environment is not None:
        task_of_run = environment_objects.with_environment(task_of_run, environment)
    return changing.changed(task_of_run, changes or {})


def find_task(name: str) -> Task:
    """Returns the task that an entry point names.

    Raises:
        PluginError: there is none, or what it names is not a task.
    """
    loaded = plugins.load("task", name)
    if not isinstance(loaded, Task):
        raise errors.PluginError(f"The task {name!r} is {loaded!r}; expected an agentlab.task.Task.")
    return loaded
