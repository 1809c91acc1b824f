"""Changes to a task, with a suggestion where a setting is named without its part."""

from __future__ import annotations

import collections
from typing import Any

from agentlab import configuration, errors
from agentlab import task as tasks
from agentlab.registry import plugins
from agentlab.system import source_text
from agentlab.task import Part, Task


def changed(task: Task, changes: dict[str, Any], of_file: dict[str, Any] | None = None) -> Task:
    """Returns the task with changes, those that a file asks for first; see `agentlab.configuration.changed`.

    Raises:
        UsageError: one is wrong.
    """
    try:
        return configuration.changed(task, changes, of_file)
    except errors.UnknownSetting as error:
        # The misspelt name may be one that needs its part in front.
        everything = configuration.merged(of_file or {}, changes)
        if error.name not in everything:
            raise
        near = qualified(task, error.name, everything)
        if not near:
            raise
        raise errors.UsageError(
            f"No setting named {error.name!r} of the task itself; settings of a part are named with the part."
            f"{errors.suggestion(near)}"
        ) from error


def check_settings(task: Task) -> None:
    """Checks the names of the settings of a task's parts by their source texts, without importing them.

    Raises:
        UnknownSetting: a part has no such setting.
    """
    for _, kind, part in tasks.parts_of(task):
        known = _settings(kind, part.name)
        for name in part.settings if known else ():
            if name not in known:
                text = errors.unknown("setting", name, known, f"Settings of {kind} {part.name!r}")
                raise errors.UnknownSetting(text, name)


def qualified(task: Task, name: str, changes: dict[str, Any]) -> list[str]:
    """Returns the settings of parts that a name without its part may have meant, such as "trainer.learning_rate".

    Args:
        task: of those parts.
        name: of no setting of the task's own.
        changes: to the task, which may exchange parts.
    """
    # Settings of all parts of the task by their plain name.
    places = collections.defaultdict(list)
    for path, kind, part in _parts(task, changes):
        for setting in _settings(kind, part):
            places[setting].append(f"{path}.{setting}")
    for setting in tasks.EVALUATION_SETTINGS:
        places[setting].append(f"evaluation.{setting}")

    # The same name, or the closest one if that belongs to a part.
    if name in places:
        return places[name]
    near = errors.closest(name, [*places, *tasks.TASK_SETTINGS])
    return places[near[0]] if near and near[0] in places else []


def _parts(task: Task, changes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns where each part of the changed task stands, its kind and its name."""
    # The parts of the task, the evaluation's own among them.
    parts: dict[str, tuple[str, Part | None]] = {
        "evaluation.environment": ("environment", None),
        **{path: (kind, part) for path, kind, part in tasks.parts_of(task)},
    }
    names = []

    # Where the changes name another part, that one counts.
    for path, (kind, part) in parts.items():
        change: Any = changes
        for key in path.split("."):
            change = change.get(key) if isinstance(change, dict) else None
        name = change.get("name") if isinstance(change, dict) else None
        name = name if isinstance(name, str) else part.name if part is not None else None
        if name is not None:
            names.append((path, kind, name))
    return names


def _settings(kind: str, name: str) -> list[str]:
    """Returns the names of a part's settings, from its source text; none where that can't be had."""
    try:
        definition = source_text.find(plugins.find(kind, name).target)
    except (errors.PluginError, source_text.UnreadableError):
        return []
    return [field.name for field in definition.fields] if definition is not None else []
