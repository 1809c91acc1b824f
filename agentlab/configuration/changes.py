"""Changes to a task: nested tables merged into it, and which of its settings a file asked for. Imports no TensorFlow."""

from __future__ import annotations

from typing import Any

import attrs

from agentlab import errors, schedules, settings
from agentlab.checks import limits, toml
from agentlab.task import NAMED_PARTS, PART_KINDS, Part, Task, as_table, parts_of, tables_of, with_parts


def changed(task: Task, changes: dict[str, Any], of_file: dict[str, Any] | None = None) -> Task:
    """Returns the task with changes given as nested tables, as a TOML file holds them.

    A table merges into a table; a part of another `name` replaces the part with its settings; objects are kept. A name with
    dots stands for tables in tables, as in TOML.

    Args:
        task: to be changed.
        changes: that the user asks for.
        of_file: those that a file asks for, which come first.

    >>> from agentlab.task import part
    >>> parts = {kind: part(kind) for kind in ("environment", "model", "trainer", "sampler", "memory")}
    >>> task = Task("example", "An example.", **parts)
    >>> changed(task, {"steps": 10, "trainer": {"discount": 0.9}}).trainer.settings["discount"]
    0.9
    """
    limits.check_values(changes)
    changes, from_file = (_undotted(settings.as_tables(tables)) for tables in (changes, of_file or {}))
    tables = merged(tables_of(settings.as_tables, task), merged(from_file, changes))
    return _with_origins(Task.from_data(tables), task, from_file, changes)


def merged(old: dict[str, Any], new: dict[str, Any], are_parts: bool = False) -> dict[str, Any]:
    """Returns `old` with `new` merged in: tables into tables, but another part, optimizer or kind of schedule replaces one.

    A placeholder of an object is replaced as well. `are_parts` is for tables of parts by name, such as `models`.

    >>> merged({"model": {"name": "mlp", "activation": "tanh"}}, {"model": {"name": "cnn"}, "steps": 5})
    {'model': {'name': 'cnn'}, 'steps': 5}
    """
    result = dict(old)
    for key, value in new.items():
        before = old.get(key)
        named = are_parts or key in PART_KINDS or key == "optimizer"
        if isinstance(value, dict) and isinstance(before, dict) and not _begins_anew(named, before, value):
            value = merged(before, value, key in NAMED_PARTS)
        result[key] = value
    return result


def _begins_anew(named: bool, before: dict[str, Any], value: dict[str, Any]) -> bool:
    another = named and any(key in value and value[key] != before.get(key) for key in ("name", "package"))
    other_kind = _is_schedule(before) and value.get("kind", before["kind"]) != before["kind"]
    return another or other_kind or settings.is_former_object(before)


def _is_schedule(table: dict[str, Any]) -> bool:
    """Whether a table is a schedule's, rather than a part's or one of arguments that happen to have a `kind`."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in schedules.KINDS:
        return False
    return table.keys() <= {"kind", *(setting.name for setting in settings.describe(schedules.KINDS[kind]))}


def _undotted(changes: dict[str, Any]) -> dict[str, Any]:
    """Returns changes with "trainer.discount" as a table in a table.

    >>> _undotted({"trainer": {"discount": 0.9}, "trainer.name": "ppo"})
    {'trainer': {'discount': 0.9, 'name': 'ppo'}}
    """
    tree: dict[str, Any] = {}
    for path, value in changes.items():
        names = path.split(".") if isinstance(path, str) and all(path.split(".")) else [path]
        for name in reversed(names[1:]):
            value = {name: value}
        tree = _joined(tree, {names[0]: value})
    return tree


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Returns two tables as one, the second last; unlike in `merged`, a name in one drops nothing of the other."""
    both_tables = {name for name, value in other.items() if isinstance(value, dict) and isinstance(one.get(name), dict)}
    return {**one, **{name: _joined(one[name], value) if name in both_tables else value for name, value in other.items()}}


def dotted(assignments: list[str]) -> dict[str, Any]:
    """Returns nested tables from `PART.SETTING=VALUE` assignments, values as in TOML; a bare word is a text.

    >>> dotted(["trainer.discount=0.9", "environment.id=Acrobot-v1"])
    {'trainer': {'discount': 0.9}, 'environment': {'id': 'Acrobot-v1'}}

    Raises:
        UsageError: an assignment has no `=` or an empty name.
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise errors.UsageError(
                f"--set got {assignment!r}; expected PART.SETTING=VALUE, such as trainer.learning_rate=0.001."
            )

        # Tables on the way to the last name are made as they are needed.
        table = tree
        for name in names[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise errors.UsageError(
                    f"--set got {assignment!r}, but {name!r} was set to a plain value before; give one of the two."
                )
        table[names[-1]] = toml.value(text.strip())
    return tree


def with_objects(task: Task, objects: dict[str, Any]) -> Task:
    """Returns the task of a config.json with the objects that it couldn't hold, as nested tables: `{"trainer": {...}}`.

    Raises:
        UsageError: config.json holds a setting that is given.
    """
    _check_objects(tables_of(settings.as_tables, task), objects, "")
    return changed(task, objects)


def _check_objects(recorded: dict[str, Any], objects: object, path: str) -> None:
    for name, value in as_table(objects, f"objects{path}").items():
        before = recorded.get(name)
        if isinstance(before, dict) and isinstance(value, dict) and not settings.is_former_object(before):
            _check_objects(before, value, f"{path}.{name}")
        elif not settings.former_object(before):
            raise errors.UsageError(
                f"objects{path}.{name} is {str(value)[:60]}, but config.json holds no object there: it has "
                f"{str(before)[:60]}. Leave it out."
            )


def trusted(task: Task) -> Task:
    """Returns the task as if the user had asked for all of its settings."""
    return with_parts(task, lambda _path, _kind, part: attrs.evolve(part, from_file=frozenset()))


def of_file(task: Task) -> Task:
    """Returns the task with all settings of its parts marked as a file's."""
    return with_parts(task, lambda _path, _kind, part: attrs.evolve(part, from_file=frozenset(part.settings)))


def _with_origins(task: Task, before: Task, of_file: dict[str, Any], changes: dict[str, Any]) -> Task:
    """Returns the changed task with the settings marked that came from a file, `before` or now."""

    earlier = {path: part for path, _, part in parts_of(before)}

    def marked(path: str, _kind: str, part: Part) -> Part:
        by_file, by_user = (_at(tables, path.split(".")) for tables in (of_file, changes))
        names = (earlier[path].from_file if path in earlier else frozenset()) | frozenset(by_file or {})
        own = {name for name, value in (by_user or {}).items() if not isinstance(value, dict)}  # a table is merged
        return attrs.evolve(part, from_file=(names - own) & frozenset(part.settings))

    return with_parts(task, marked)


def _at(tables: object, path: list[str]) -> Any:
    """Returns the value at a path of nested tables, None if there is none."""
    for name in path:
        tables = tables.get(name) if isinstance(tables, dict) else None
    return tables
