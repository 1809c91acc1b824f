"""TOML that is written: tables of numbers, texts, lists and tables, as `agentlab run --config` reads them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from agentlab import errors

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(tables: dict[str, Any]) -> str:
    """Returns a TOML text: a line for each entry, and for each entry of the tables that are entries.

    >>> print(toml_text({"steps": 10, "trainer": {"name": "dqn", "discount": 0.9}}), end="")
    steps = 10
    trainer.name = "dqn"
    trainer.discount = 0.9

    Raises:
        UsageError: TOML can't hold a value, such as None or an object.
    """
    return "".join(f"{'.'.join(map(_key, path))} = {_value(value, path)}\n" for path, value in _entries(tables, ()))


def _entries(tables: dict[str, Any], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    entries: list[tuple[tuple[str, ...], Any]] = []
    for name, value in tables.items():
        nested = isinstance(value, dict) and value
        entries += _entries(value, (*path, name)) if nested else [((*path, name), value)]
    return entries


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: object, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item, path) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(name)} = {_value(item, path)}' for name, item in value.items())}}}"
    raise errors.UsageError(
        f"{'.'.join(path)} is {errors.quoted(value)}, which a file can't hold; expected a number, a text, a bool, a list "
        "or a table."
    )
