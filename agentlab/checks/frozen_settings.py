"""Freezes the settings of built parts: the compiled loop holds their values, so a change would silently have no effect."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import attrs

from agentlab import errors

_frozen: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # by id: parts need not be hashable


def freeze(part: object) -> None:
    """Refuses, from now on, to change a setting of a part; everything else about it can still be assigned.

    Python asks a class about assignments, so its class gets a `__setattr__` that does so for the parts which were frozen.
    """
    cls: Any = type(part)
    if not getattr(cls.__setattr__, "guards_settings", False):
        cls.__setattr__ = _guarding(cls.__setattr__)
    _frozen[id(part)] = part


def _guarding(original: Callable[[Any, str, Any], None]) -> Callable[[Any, str, Any], None]:
    """Returns a class's `__setattr__`, which then refuses the settings of frozen parts."""

    @functools.wraps(original)
    def assign(part: object, name: str, value: object) -> None:
        kind: type = type(part)
        if _frozen.get(id(part)) is part and name in _settings(kind):
            raise errors.UsageError(
                f"Setting {name!r} of {type(part).__name__} can't be changed from {_short(getattr(part, name, None))} to "
                f"{_short(value)} once it is built: the compiled loop holds the value. Set it when the run begins, by "
                "changes= or --set; 'Training.change' changes live settings during training."
            )
        original(part, name, value)

    assign.guards_settings = True  # type: ignore[attr-defined]
    return assign


@functools.lru_cache(maxsize=256)
def _settings(cls: type) -> frozenset[str]:
    """Returns the attributes that hold a part's constructor arguments."""
    private = {field.alias: field.name for field in attrs.fields(cls)} if attrs.has(cls) else {}
    return frozenset(private.get(name, name) for name in inspect.signature(cls).parameters)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
