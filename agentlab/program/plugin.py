"""What `agentlab plugin` does, as functions: `agentlab.plugin.new` and `agentlab.plugin.check`."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from agentlab import errors
from agentlab.program import scaffold
from agentlab.testing.checks.report import Line, lines_of, offers_of


def new(name: str, kind: str = "environment", directory: str | os.PathLike[str] = ".") -> list[pathlib.Path]:
    """Writes a package with a working part, its tests and a task that shows it, and returns its files.

    Args:
        name: of the package, such as "my-plugin"; its directory gets this name.
        kind: of the part, or "algorithm" for a trainer with its memory and model.
        directory: where the package goes.

    Raises:
        UsageError: the name or the kind is none, or the directory exists.
    """
    if kind not in scaffold.TEMPLATES:
        raise errors.UsageError(errors.unknown("kind", kind, scaffold.TEMPLATES, "Kinds"))
    return scaffold.write(name, kind, pathlib.Path(directory))


def check(name: str, settings: dict[str, Any] | None = None, *, kind: str | None = None) -> list[Line]:
    """Tests parts and tasks against their contracts, and returns the result of each rule: `text`, `state` and `problem`.

    Args:
        name: of a package, task or part, or PACKAGE:NAME.
        settings: of the part, or changes to the task for its trial run.
        kind: of the part; None for every kind.

    Raises:
        PluginError: nothing has this name, or is of this kind.
        UsageError: settings are given for more than one part.
    """
    return [line for offer in offers_of(name, settings or {}, kind) for line in lines_of(offer, settings or {})]
