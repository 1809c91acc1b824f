"""Modules as text: where their files are, what is in them, and their syntax trees; nothing is imported."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import pathlib
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import attrs

from agentlab.system import files


class UnreadableError(Exception):
    """The text cannot be found or parsed, or does not define what it should."""


def locate(module: str) -> str | None:
    """Returns the file of a module without importing it or its parents, or None where there is none."""
    path: Any = None
    name, spec = "", None

    # Part by part, as the import system does, but nothing is executed.
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    for part in module.split("."):
        if name and path is None:
            return None  # what is no package has no modules
        name = f"{name}.{part}" if name else part
        specs = (finder.find_spec(name, path) for finder in finders)
        spec = next((module_spec for module_spec in specs if module_spec is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec.origin if spec else None


def _parsed(text: str | bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of an invalid escape: its author's business, not a listing's
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two of text nested too deep
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def contents_of(file: str) -> Contents:
    """Returns what is in a file.

    Raises:
        UnreadableError: it can't be read.
    """
    try:
        facts = pathlib.Path(file).stat()
        return _read(file, facts.st_mtime_ns, facts.st_size)
    except files.UnreadableError as error:
        raise UnreadableError(str(error)) from error
    except OSError as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=1_024)
def _read(file: str, changed: int, size: int) -> Contents:
    """Returns what a file holds, read once as long as it stays as it is: many offers share a file, or a base class."""
    return Contents(files.read_bytes(pathlib.Path(file), follow=True), _is_compiled(file, changed, size))


def _is_compiled(file: str, changed: int, size: int) -> bool:
    """Whether Python has compiled a file as it is, so that there is no syntax error anywhere in it."""
    try:
        with pathlib.Path(importlib.util.cache_from_source(file)).open("rb") as compiled:
            header = compiled.read(16)
    except (OSError, NotImplementedError):
        return False
    # After the format and its flags: seconds of the file's time, and its size.
    facts = (0, changed // 10**9 & 0xFFFFFFFF, size & 0xFFFFFFFF)
    return header == importlib.util.MAGIC_NUMBER + b"".join(fact.to_bytes(4, "little") for fact in facts)


class Contents:
    """A file's text and, when it is asked for, its syntax tree."""

    def __init__(self, data: bytes, is_compiled: bool) -> None:
        self._data = data
        self._is_compiled = is_compiled

    @functools.cached_property
    def tree(self) -> ast.Module:
        return _parsed(self._data)

    @functools.cached_property
    def text(self) -> str:
        """The text as UTF-8, or "" where it is of another encoding."""
        try:
            return self._data.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError:
            return ""

    def beginning(self, name: str) -> ast.AST | None:
        """Returns the statement that gives `name` its value, a class without what follows its docstring; None if unsure.

        A listing asks for one statement of each file. Parsing a whole file takes ten times as long. One that was never compiled
        is parsed all the same, as there may be a syntax error in it.
        """
        if not self._is_compiled:
            return None

        # The only statement at the margin that begins so, outside of text that spans lines.
        word = re.escape(name)
        begins = list(re.finditer(rf"^(?:class {word}\b|{word}\b[^=\n]*=)", self.text, re.MULTILINE))
        if len(begins) != 1 or any(self.text.count(quotes, 0, begins[0].start()) % 2 for quotes in ('"""', "'''")):
            return None
        block = self.text[begins[0].start() :]
        following = _AT_THE_MARGIN.search(block, 1)
        block = block[: following.start()] if following else block

        head = _CLASS_WITH_DOCSTRING.match(block)
        if head is None and block.startswith("class "):
            return None
        with contextlib.suppress(UnreadableError):
            return _parsed(head[0] if head else block).body[0]
        return None


_AT_THE_MARGIN = re.compile(r"^[^\s)\]}#]", re.MULTILINE)
_CLASS_WITH_DOCSTRING = re.compile(r"""class\b[^"'#]*?:[ \t]*\n[ \t]+(\"{3}|'{3}).*?\1""", re.DOTALL)


@attrs.frozen
class Module:
    """A module's full name and file."""

    name: str
    file: str

    @property
    def tree(self) -> ast.Module:
        """The syntax tree of the whole file."""
        return contents_of(self.file).tree

    def class_named(self, name: str) -> ast.ClassDef:
        """Returns a whole class."""
        return next(node for node in statements(self.tree) if isinstance(node, ast.ClassDef) and node.name == name)

    def absolute(self, node: ast.ImportFrom) -> str:
        """Returns the full name of the module that a `from` of this one imports from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        up = node.level - (pathlib.Path(self.file).name == "__init__.py")
        return ".".join([*parts[: len(parts) - up], *filter(None, [node.module])])

    def mentions(self, name: str) -> bool:
        """Whether running the module may bind `name` in a way that reading it does not follow."""
        names = {name, "*", "__getattr__", "globals", "setattr", "exec"}
        return any({getattr(node, key, None) for key in ("id", "name", "asname")} & names for node in ast.walk(self.tree))


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields the statements that run when a module is imported, those inside `if`, `try` and `with` too."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            yield from statements(node)
