"""Reads descriptions of parts from source text: `list` and `info` import no plugin, and so no TensorFlow."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import inspect
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from agentlab.system import files, source_defaults


class UnreadableError(Exception):
    """The text cannot be found or parsed, or does not define what it should."""


@attrs.frozen
class Field:
    """A setting as the text declares it: its name, annotation, default and description, as written; no default is "".

    A live one may be changed during training.
    """

    name: str
    annotation: str
    default: str
    text: str = ""
    is_live: bool = False


@attrs.frozen
class Definition:
    """A class, or an object such as a task, as its source text defines it.

    Attributes:
        summary: the first paragraph of a class's docstring, or a `description=` keyword.
        text: the docstring.
        read_fields: returns `fields`, which takes reading the base classes too; a listing does without.
        read_keys: returns `keys_of` a method.
    """

    summary: str
    text: str = ""
    read_fields: Callable[[], tuple[Field, ...]] = tuple
    read_keys: Callable[[str], tuple[str, ...]] = lambda _: ()

    @property
    def fields(self) -> tuple[Field, ...]:
        """Annotated class attributes, those of base classes first; or the parameters of a constructor that is written out."""
        return self.read_fields()

    def keys_of(self, method: str) -> tuple[str, ...]:
        """Returns the names in the mapping that a method, maybe a base class's, returns; none where its text doesn't tell."""
        return self.read_keys(method)


def find(target: str) -> Definition | None:
    """Returns the definition of `module:attribute`, or None where only an import could tell (a compiled module).

    Raises:
        UnreadableError: the module is not installed, does not parse, or has no such attribute.
    """
    return _find(target, ())


def _find(target: str, behind: tuple[str, ...]) -> Definition | None:
    """Returns the definition of a target that the targets `behind` import it as, which must not be one of them."""
    module, _, attribute = (part.strip() for part in target.partition("[")[0].partition(":"))
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise UnreadableError(f"{target!r} is not of the form module:attribute")
    if target in behind:
        raise UnreadableError(f"{target!r} is imported from itself")

    # Follow the import until the class or the value is defined in that file.
    file = locate(module) or getattr(sys.modules.get(module), "__file__", None)  # the second of a single file in use
    if file is None:
        raise UnreadableError(f"module {module!r} is not installed")
    return _defined(_Module(module, file), attribute, (*behind, target)) if file.endswith(".py") else None


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


def documented(text: str) -> dict[str, str]:
    """Returns the entries of a docstring's "Attributes:" or "Args:" section, by name."""
    section = re.search(r"^(?:Attributes|Args):\n((?:    .*\n?|\n)+)", text + "\n", re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section.group(1), re.MULTILINE) if section else []
    return {name: " ".join(words.split()) for name, words in entries}


def _parsed(text: str | bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of an invalid escape: its author's business, not a listing's
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two of text nested too deep
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _contents(file: str) -> _Contents:
    try:
        facts = pathlib.Path(file).stat()
        return _read(file, facts.st_mtime_ns, facts.st_size)
    except files.UnreadableError as error:
        raise UnreadableError(str(error)) from error
    except OSError as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=1_024)
def _read(file: str, changed: int, size: int) -> _Contents:
    """Returns what a file holds, read once as long as it stays as it is: many offers share a file, or a base class."""
    return _Contents(files.read_bytes(pathlib.Path(file), follow=True), _is_compiled(file, changed, size))


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


class _Contents:
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
class _Module:
    """A module's full name and file."""

    name: str
    file: str

    @property
    def tree(self) -> ast.Module:
        """The syntax tree of the whole file."""
        return _contents(self.file).tree

    def class_named(self, name: str) -> ast.ClassDef:
        """Returns a whole class."""
        return next(node for node in _statements(self.tree) if isinstance(node, ast.ClassDef) and node.name == name)

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


def _defined(module: _Module, attribute: str, behind: tuple[str, ...]) -> Definition:
    beginning = _contents(module.file).beginning(attribute)
    for node in _statements(module.tree) if beginning is None else [beginning]:
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return _class(module, node, behind)
        if isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == attribute for name in node.targets):
            return Definition(_keyword(node.value, "description"))
        if isinstance(node, ast.ImportFrom):
            original = next((alias.name for alias in node.names if (alias.asname or alias.name) == attribute), None)
            if original:
                return _find(f"{module.absolute(node)}:{original}", behind) or Definition("")

    # Defined in a way that the text can't tell, such as by a call; or not at all.
    if "." in attribute or module.mentions(attribute):
        return Definition("")
    raise UnreadableError(f"{module.name!r} defines no {attribute!r}")


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields the statements that run when a module is imported, those inside `if`, `try` and `with` too."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            yield from _statements(node)


def _class(module: _Module, node: ast.ClassDef, behind: tuple[str, ...]) -> Definition:
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    return Definition(
        text.split("\n\n")[0].replace("\n", " "),
        text,
        lambda: _fields(module, module.class_named(node.name), behind, documented(text)),
        lambda method: _keys(module, module.class_named(node.name), behind, method),
    )


def _keys(module: _Module, node: ast.ClassDef, behind: tuple[str, ...], method: str) -> tuple[str, ...]:
    """Returns the names in the mapping that a method returns, where it is written out."""
    function = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == method), None)
    if function is None:
        bases = (definition.keys_of(method) for base in node.bases if (definition := _base(module, node, base, behind)))
        return next(filter(None, bases), ())
    returned = [item.value for item in function.body if isinstance(item, ast.Return)]
    branches = [item for item in function.body if isinstance(item, (ast.If, ast.Match, ast.Try, ast.With, ast.For, ast.While))]
    depends = any(isinstance(inner, ast.Return) for item in branches for inner in ast.walk(item))
    if depends or len(returned) != 1 or not isinstance(returned[0], ast.Dict):
        return ()
    keys = [key.value if isinstance(key, ast.Constant) else None for key in returned[0].keys]
    return tuple(key for key in keys if isinstance(key, str)) if all(isinstance(key, str) for key in keys) else ()


def _fields(module: _Module, node: ast.ClassDef, behind: tuple[str, ...], texts: dict[str, str]) -> tuple[Field, ...]:
    # Inherited fields first; the class's own replace them.
    fields = {field.name: field for base in node.bases for field in _inherited(module, node, base, behind)}
    for item in node.body:
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and "ClassVar" not in ast.unparse(item.annotation)
        ):
            name = item.target.id
            inherited = fields[name].text if name in fields else ""

            def find(name: str) -> ast.FunctionDef | ast.expr | None:
                return _binding(module, name)

            default, live = source_defaults.text_of(item.value, find), source_defaults.is_live(item.value, find)
            fields[name] = Field(name, ast.unparse(item.annotation), default, texts.get(name, inherited), live)
        elif isinstance(item, ast.FunctionDef) and item.name == "__init__":
            fields = {field.name: field for field in _parameters(item, texts)}
    return tuple(fields.values())


def _parameters(constructor: ast.FunctionDef, texts: dict[str, str]) -> Iterator[Field]:
    """Yields the settings of a class that writes its own constructor: the parameters but the first, `self`."""
    values = source_defaults.parameter_defaults(constructor.args)
    for parameter in [*constructor.args.posonlyargs, *constructor.args.args, *constructor.args.kwonlyargs][1:]:
        name, value = parameter.arg, values.get(parameter.arg)
        annotation = ast.unparse(parameter.annotation) if parameter.annotation else "Any"
        yield Field(name, annotation, ast.unparse(value) if value else "", texts.get(name, ""))


def _binding(module: _Module, name: str, behind: tuple[str, ...] = ()) -> ast.FunctionDef | ast.expr | None:
    """Returns the function or value that a module gives a name, itself or by importing it; None if its text doesn't tell."""
    # Its own definition, or the one that it imports.
    for node in _statements(module.tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node.value  # type: ignore[attr-defined]
        if isinstance(node, ast.ImportFrom) and name not in behind:
            original = next((alias.name for alias in node.names if (alias.asname or alias.name) == name), None)
            file = locate(module.absolute(node)) if original else None
            if original and file and file.endswith(".py"):
                return _binding(_Module(module.absolute(node), file), original, (*behind, name))
    return None


def _inherited(module: _Module, node: ast.ClassDef, base: ast.expr, behind: tuple[str, ...]) -> tuple[Field, ...]:
    definition = _base(module, node, base, behind)
    return definition.fields if definition else ()


def _base(module: _Module, node: ast.ClassDef, base: ast.expr, behind: tuple[str, ...]) -> Definition | None:
    """Returns the definition of a class's base, None where its text doesn't tell."""
    if not isinstance(base, ast.Name) or base.id == node.name:
        return None
    try:
        return _defined(module, base.id, behind)
    except UnreadableError:
        return None  # a base such as `abc.ABC`, from a module that is no plugin's business


def _keyword(call: ast.expr, name: str) -> str:
    value = source_defaults.argument(call, name) if isinstance(call, ast.Call) else None
    if isinstance(value, ast.Constant):
        return str(value.value)
    return ast.unparse(value) if value else ""
