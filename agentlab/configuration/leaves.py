"""A task's settings by their full names, as tables, trackers and services show them. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

UNSET = "none"

Setting: TypeAlias = str | float | bool  # a setting's value as a table shows it, a list as its text


def entries(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the path and the value of each entry of tables within tables, in order; an empty table is an entry."""
    for name, entry in tables.items():
        if isinstance(entry, dict) and entry:
            yield from entries(entry, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry


def setting_leaves(tables: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
    """Returns settings by their full names, such as "trainer.learning_rate"; a part is its name, beside its settings.

    >>> dict(setting_leaves({"steps": 10, "trainer": {"discount": 0.9, "clip": None}}))
    {'steps': 10, 'trainer.discount': 0.9, 'trainer.clip': 'none'}
    """
    for path, entry in entries(tables):
        if isinstance(entry, (bool, int, float, str)):
            yield path, entry
        else:
            yield path, UNSET if entry is None else json.dumps(entry)


def task_settings(config: Mapping[str, Any]) -> dict[str, Setting]:
    """Returns the settings of the task in the content of a config.json, without its name and description."""
    task = config.get("task")
    described = {name: value for name, value in task.items() if name not in ("name", "description")} if task else {}
    return dict(setting_leaves(described))
