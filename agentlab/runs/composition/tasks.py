"""The task of a run: by its name or as an object, with changes."""

from __future__ import annotations

import types
from typing import Any

import attrs

from agentlab import errors
from agentlab.configuration import merged
from agentlab.registry import environment_objects, generic_tasks, plugins
from agentlab.registry import task_changes as changing
from agentlab.registry.generic_tasks import AUTO
from agentlab.runs.composition.environments import build_environment
from agentlab.task import Part, Task, as_table


def resolved(
    task: str | Task, changes: dict[str, Any] | None = None, environment: Any = None, steps: int | None = None
) -> Task:
    """Returns the task of a name, or `task` itself, in the environment that is named or given as an object, with changes.

    Args:
        task: its name, `AUTO` for one chosen by the environment's spaces, or a task.
        changes: as nested tables.
        environment: a name, see `agentlab.registry.environment_objects.named_part`, or an object, see `part_of` there.
        steps: the budget; None for the task's.

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

    # The environment is a change like others, but for an object, which replaces the part with all its settings.
    tree: dict[str, Any] = {} if steps is None else {"steps": steps}
    is_object = environment is not None and not isinstance(environment, str)
    part = environment_objects.part_of(environment) if is_object else None
    named = {} if environment is None or is_object else environment_objects.changes_to(environment)
    tree = merged(merged(tree, named), changes or {})
    if task == AUTO:
        asked = tree if part is None else merged({"environment": environment_objects.table_of(part)}, tree)
        task = choose_task(asked).task
    task_of_run = find_task(task) if isinstance(task, str) else task
    if part is not None:
        task_of_run = environment_objects.with_environment(task_of_run, part)
    return changing.changed(task_of_run, tree)


@attrs.frozen
class Choice:
    """A task that was chosen for an environment.

    Attributes:
        task: as it is installed.
        reason: why, as a sentence.
    """

    task: Task
    reason: str


def choose_task(changes: dict[str, Any], of_file: dict[str, Any] | None = None) -> Choice:
    """Returns the generic task that suits the environment which changes to a task ask for, by its spaces.

    Args:
        changes: that the user asks for, with an environment.
        of_file: those that a file asks for.

    Raises:
        UsageError: they ask for no environment, or one that can't be made, or there is no such task.
    """
    by_user, by_file = (as_table(tables.get("environment", {}), "environment") for tables in (changes, of_file or {}))
    table = merged(by_file, by_user)
    if not table:
        raise errors.UsageError(
            f"Task {AUTO!r} chooses a task for an environment, and none is named. Name one: --environment Acrobot-v1, "
            "--environment my_env.py:MyEnv, or environment=... in Python."
        )
    # Settings that a file asks for stay a file's, which may not have any module imported.
    settings = {name: value for name, value in table.items() if name != "name"}
    name = table.get("name", environment_objects.GYMNASIUM)
    part = Part(name, settings, from_file=frozenset(by_file) - frozenset(by_user))
    environment = build_environment(part, 1)
    try:
        spec = environment.spec
    finally:
        environment.close()
    kinds = generic_tasks.kinds_of(spec)
    task, kind = generic_tasks.load(kinds)
    return Choice(task, f"Chose task {task.name!r} for {spec.name}: {kinds[kind]}.")


def find_task(name: str) -> Task:
    """Returns the task that an entry point names.

    Raises:
        PluginError: there is none, or what it names is not a task.
    """
    loaded = plugins.load("task", name)
    if not isinstance(loaded, Task):
        raise errors.PluginError(f"The task {name!r} is {loaded!r}; expected an agentlab.task.Task.")
    return loaded
