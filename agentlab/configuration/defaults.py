"""All settings of a task and of its parts, with those that have their defaults, from source text."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import attrs

from agentlab import errors
from agentlab.configuration.leaves import UNSET, entries
from agentlab.registry import plugins
from agentlab.system import source_text
from agentlab.task import TASK_SETTINGS, Part, Task, parts_of


def settings_of(task: Task) -> Iterator[tuple[str, str, bool]]:
    """Yields the path of each setting as `--set` takes it, its value as text, and whether that is the default."""
    parts = {path: (kind, part) for path, kind, part in parts_of(task)}
    required = {field.name: getattr(task, field.name) for field in attrs.fields(Task) if field.default is attrs.NOTHING}
    unchanged = dict(entries(Task(**required).as_data()))

    # What the task says, and after the last setting of a part the ones that it leaves as they are.
    leaves = [(path, value) for path, value in entries(task.as_data()) if path not in ("name", "description")]
    for index, (path, value) in enumerate(leaves):
        part = next((part for part in parts if path.startswith(f"{part}.")), "")
        yield path, _as_text(value), not part and unchanged.get(path, path) == value
        is_last = not any(later.startswith(f"{part}.") for later, _ in leaves[index + 1 :])
        if part and is_last and not _is_inherited(task, part):
            yield from _defaults(part, *parts[part])


def _is_inherited(task: Task, path: str) -> bool:
    """Whether settings that a part doesn't name are another part's: in an evaluation in the same environment, training's."""
    judged = task.evaluation.environment
    return path == "evaluation.environment" and judged is not None and judged.name == task.environment.name


def _defaults(path: str, kind: str, part: Part) -> Iterator[tuple[str, str, bool]]:
    """Yields the settings of a part that its task leaves as they are; none where its source text doesn't tell."""
    try:
        definition = source_text.find(plugins.find(kind, part.reference).target)
    except (errors.AgentlabError, source_text.UnreadableError):
        return
    for field in definition.fields if definition is not None else ():
        if field.default and field.name not in part.settings and field.name not in TASK_SETTINGS:
            yield f"{path}.{field.name}", _plain(field.default), True


def _plain(default: str) -> str:
    """Returns a default of source text as `--set` takes it, or as it is where that can't say it."""
    try:
        return _as_text(ast.literal_eval(default))
    except (ValueError, TypeError):
        return default


def _as_text(value: Any) -> str:
    return UNSET if value is None else json.dumps(value)
