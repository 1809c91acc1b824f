"""Parts: their classes loaded through entry points, their settings checked; and the packages they come from."""

from __future__ import annotations

from typing import Any

import attrs

from agentlab import errors, settings
from agentlab.registry import plugins
from agentlab.registry.kinds import KINDS
from agentlab.task import Part, Task, with_parts


def part_class(kind: str, part: Part) -> Any:
    """Returns the part's class, loaded through its entry point.

    Raises:
        PluginError: it cannot be loaded, or is of another kind.
    """
    cls = plugins.load(kind, part.reference)
    if not (isinstance(cls, type) and issubclass(cls, KINDS[kind].contract_classes())):
        expected = " or ".join(KINDS[kind].contracts)
        raise errors.PluginError(f"The {kind} {part.name!r} is {cls!r}; expected a class derived from {expected}.")
    return cls


def build_part(kind: str, part: Part, path: str = "", /, **extra: object) -> Any:
    """Returns the part: its class loaded through its entry point, its settings checked.

    Args:
        kind: of part.
        part: name and settings.
        path: the part's place in a task, such as "models.critic", if that isn't its kind.
        extra: settings that are the runner's own.

    Raises:
        PluginError: it cannot be loaded, or is of another kind.
        UsageError: a setting is wrong, or a file sets what only a user may set.
    """
    cls = part_class(kind, part)
    check_origin(cls, kind, part)
    return settings.build(cls, {**part.settings, **extra}, f"{kind} {part.name!r}", path)


def check_origin(cls: type, kind: str, part: Part) -> None:
    """Raises UsageError if a file sets what only a user may set, see `agentlab.fields.outside`."""
    fields = attrs.fields_dict(cls) if attrs.has(cls) else {}
    for name in sorted(part.from_file & fields.keys()):
        if fields[name].metadata.get(settings.OUTSIDE) and part.settings[name] is not None:
            raise errors.UsageError(
                f"The file that asks for {kind} {part.name!r} sets its {name!r} to {errors.quoted(part.settings[name])}, which "
                "is outside the run's directory. If that is where it should write, say so: --trust, or trust=True in Python."
            )


def with_packages(task: Task) -> Task:
    """Returns the task with the package of each of its parts, for the record; parts of single files have none."""
    return with_parts(
        task, lambda _, kind, part: attrs.evolve(part, package=part.package or plugins.package_of(kind, part.name))
    )
