"""Single Python files: imported, and the parts that `--plugin FILE.py` offers."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import pathlib
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

from agentlab import errors
from agentlab.checks import limits
from agentlab.registry.kinds import kind_of_contract
from agentlab.system.tracebacks import describe_error
from agentlab.task import Task


def parts_of(path: str | os.PathLike[str]) -> dict[tuple[str, str], Any]:
    """Imports a file and returns the parts and tasks it defines by kind and name.

    Raises:
        PluginError: it cannot be imported, or defines none.
    """
    module = import_file(path)

    # Tasks by their own name, classes by the name they would have in an entry point: SecondBest is second-best.
    parts: dict[tuple[str, str], Any] = {}
    for value in vars(module).values():
        if isinstance(value, Task):
            parts["task", value.name] = value
        elif isinstance(value, type) and value.__module__ == module.__name__ and not inspect.isabstract(value):
            for kind in _kinds(value):
                parts[kind, re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", value.__name__).lower()] = value
    if not parts:
        raise errors.PluginError(
            f"Plugin file {str(path)!r} offers nothing; expected an agentlab.Task, or a class derived from a contract such as "
            "agentlab.trainer.Trainer with all its methods."
        )
    return parts


def _kinds(part: type) -> set[str]:
    return {kind for base in part.__mro__ if (kind := kind_of_contract(base)) is not None}


def import_file(path: str | os.PathLike[str], what: str = "Plugin file") -> types.ModuleType:
    """Imports a Python file under a name that no module on the path has; modules beside it can be imported by it.

    Args:
        path: of the file.
        what: the file is, for messages.

    Raises:
        PluginError: it is no Python file, or raises.
    """
    limits.check_path(path)
    file = pathlib.Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise errors.PluginError(f"{what} {str(path)!r} doesn't exist or is not a Python file; name a file ending in .py.")

    # Under a name that no module on the path has.
    name = f"agentlab_plugin_file_{re.sub(r'[^0-9a-zA-Z_]', '_', file.stem)}"
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    if spec is None or spec.loader is None:
        raise errors.PluginError(f"{what} {str(path)!r} can't be imported; expected Python source text.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where annotations of its classes are looked up
    try:
        with _beside(file):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin does not end the program
        sys.modules.pop(name, None)
        raise errors.PluginError(f"{what} {str(path)!r} can't be loaded: {describe_error(error)}. Fix it.") from error
    return module


@contextlib.contextmanager
def _beside(file: pathlib.Path) -> Iterator[None]:
    """Has modules in the folder of `file` imported where no other place has one of the name."""
    folder = str(file.resolve().parent)
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
