"""Environments in a file: `FILE.py:NAME` names a class, a function or an id of Gymnasium's there, `FILE.py` the only one.

The file is imported where the environment is made, which needs the user's word if a config asks for it, see
`agentlab.environment.Environment.imported_modules`.
"""

from __future__ import annotations

import inspect
import itertools
import os
import pathlib
import re
import types
from typing import TYPE_CHECKING, Any

import attrs

from agentlab import errors
from agentlab.registry import single_file
from agentlab.registry.kinds import kind_of_contract

if TYPE_CHECKING:
    import gymnasium

REFERENCE = re.compile(r"(?P<path>.*\.py)(?::(?P<name>[^:]*))?", re.DOTALL)
WHAT = "Environment file"

_numbers = itertools.count()
_modules: dict[tuple[str, int, int], _Module] = {}  # by path, time of the last change, and size


def path_of(id: object) -> str:
    """Returns the file that an environment's id names; empty if it names none.

    >>> path_of("my_env.py:MyEnv"), path_of("my_module:MyEnv-v0")
    ('my_env.py', '')
    """
    match = REFERENCE.fullmatch(id) if isinstance(id, str) else None
    return match["path"] if match else ""


def absolute(id: str) -> str:
    """Returns an id with the whole path of its file, so that a run can be opened from any directory; others as they are."""
    path = path_of(id)
    return os.path.abspath(path) + id.removeprefix(path) if path else id  # noqa: PTH100 - links stay as they are named


def display_name(id: str) -> str:
    """Returns an id for messages, without the file's folder.

    >>> display_name("/home/me/my_env.py:MyEnv")
    'my_env.py:MyEnv'
    """
    return os.path.basename(id) if path_of(id) else id  # noqa: PTH119


def registered(id: str) -> str:
    """Returns the id by which Gymnasium makes the environment that `FILE.py:NAME` or `FILE.py` names; others as they are.

    Raises:
        PluginError: the file can't be imported, has no such environment, or several where none is named.
    """
    import gymnasium

    match = REFERENCE.fullmatch(id)
    if match is None:
        return id
    # An attribute of the file, or an id that importing it has registered.
    path, module = match["path"], _imported(match["path"])
    name = match["name"] or _only(path, module)
    if not hasattr(module.content, name) and name in gymnasium.registry:
        return name
    _check_makes(path, name, module)
    identity = f"agentlab-file/{re.sub(r'[^A-Za-z0-9_]', '-', name)}-{next(_numbers)}"
    gymnasium.register(identity, entry_point=FileEnvironment(path, name))
    return identity


@attrs.frozen
class FileEnvironment:
    """Makes an environment that a file defines, in whatever process: the file is imported there.

    Attributes:
        path: of the file.
        name: of a class or function in it.
    """

    path: str
    name: str

    def __call__(self, **arguments: Any) -> gymnasium.Env:
        return self._target(**arguments)

    @property
    def metadata(self) -> dict[str, Any]:
        """The render modes and other facts of the environment's class, which Gymnasium reads; a function has none."""
        return self._target.metadata

    @property
    def _target(self) -> Any:
        return getattr(_imported(self.path).content, self.name)


@attrs.frozen(eq=False)
class _Module:
    """An imported file.

    Attributes:
        content: the module.
        ids: that it registered with Gymnasium for its own classes and functions.
    """

    content: types.ModuleType
    ids: tuple[str, ...]

    def names(self) -> list[str]:
        """Returns the environments that may be meant where none is named: ids that the file registers, else its classes."""
        return list(self.ids) or _classes(self.content)


def _only(path: str, module: _Module) -> str:
    names = module.names()
    if not names:
        raise errors.PluginError(f"{WHAT} {path!r} has no environment. {_expected(path)}")
    if len(names) > 1:
        raise errors.PluginError(
            f"{WHAT} {path!r} has several environments: {', '.join(names)}. Name one, such as {path}:{names[0]}."
        )
    return names[0]


def _imported(path: str) -> _Module:
    import gymnasium

    # The same file in two environments is one module, unless it has been edited.
    try:
        facts = pathlib.Path(path).stat()
        key = (os.path.abspath(path), facts.st_mtime_ns, facts.st_size)  # noqa: PTH100
    except (OSError, ValueError):
        key = (path, 0, 0)  # for which there is none
    # What the file's imports register, such as all of another package's environments, is not its own.
    if key not in _modules:
        before = {*gymnasium.registry}
        content = single_file.import_file(path, WHAT)
        added = {id: spec for id, spec in gymnasium.registry.items() if id not in before}
        own = [id for id, spec in added.items() if _module_of(spec.entry_point) == content.__name__]
        _modules[key] = _Module(content, tuple(own))
    return _modules[key]


def _module_of(entry_point: object) -> str:
    return entry_point.partition(":")[0] if isinstance(entry_point, str) else getattr(entry_point, "__module__", "")


def _classes(module: types.ModuleType) -> list[str]:
    """Returns the names of the environments that a module defines, without those that others of them derive from."""
    import gymnasium

    # Classes of the file's own, not those it imports, and no wrappers, which need an environment.
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, gymnasium.Env)
        and not issubclass(value, gymnasium.Wrapper)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    return [one.__name__ for one in own if not any(one is not other and issubclass(other, one) for other in own)]


def _check_makes(path: str, name: str, module: _Module) -> None:
    """Raises PluginError if what a file has by a name makes no environment."""
    # A mistake that a reader of the docs on plugins may make comes first.
    target = getattr(module.content, name, None)
    contracts = getattr(target, "__mro__", ())
    if any(kind_of_contract(base) == "environment" for base in contracts):
        raise errors.PluginError(
            f"{name} in {path!r} is one of agentlab's own environments, not Gymnasium's; write --plugin {path}, and its "
            "name in lower case with hyphens for the environment."
        )
    if target is None:
        names = ", ".join(module.names())
        raise errors.PluginError(f"{WHAT} {path!r} has no {name!r}. {f'It has {names}.' if names else _expected(path)}")
    if not callable(target):
        raise errors.PluginError(f"{name} in {path!r} is {errors.quoted(target)}. {_expected(path)}")


def _expected(path: str) -> str:
    return f"Expected a class derived from gymnasium.Env, or {path}:NAME of a function that makes one."
