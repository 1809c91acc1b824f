"""What a class or an object is by its definition in source text: its description, its settings and their defaults."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator

import attrs

from agentlab.system.source_text import defaults
from agentlab.system.source_text.modules import Module, UnreadableError, contents_of, locate, statements


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
    return _defined(Module(module, file), attribute, (*behind, target)) if file.endswith(".py") else None


def documented(text: str) -> dict[str, str]:
    """Returns the entries of a docstring's "Attributes:" or "Args:" section, by name."""
    section = re.search(r"^(?:Attributes|Args):\n((?:    .*\n?|\n)+)", text + "\n", re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section.group(1), re.MULTILINE) if section else []
    return {name: " ".join(words.split()) for name, words in entries}


def _defined(module: Module, attribute: str, behind: tuple[str, ...]) -> Definition:
    beginning = contents_of(module.file).beginning(attribute)
    for node in statements(module.tree) if beginning is None else [beginning]:
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


def _class(module: Module, node: ast.ClassDef, behind: tuple[str, ...]) -> Definition:
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    return Definition(
        text.split("\n\n")[0].replace("\n", " "),
        text,
        lambda: _fields(module, module.class_named(node.name), behind, documented(text)),
        lambda method: _keys(module, module.class_named(node.name), behind, method),
    )


def _keys(module: Module, node: ast.ClassDef, behind: tuple[str, ...], method: str) -> tuple[str, ...]:
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


def _fields(module: Module, node: ast.ClassDef, behind: tuple[str, ...], texts: dict[str, str]) -> tuple[Field, ...]:
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

            default, live = defaults.text_of(item.value, find), defaults.is_live(item.value, find)
            fields[name] = Field(name, ast.unparse(item.annotation), default, texts.get(name, inherited), live)
        elif isinstance(item, ast.FunctionDef) and item.name == "__init__":
            fields = {field.name: field for field in _parameters(item, texts)}
    return tuple(fields.values())


def _parameters(constructor: ast.FunctionDef, texts: dict[str, str]) -> Iterator[Field]:
    """Yields the settings of a class that writes its own constructor: the parameters but the first, `self`."""
    values = defaults.parameter_defaults(constructor.args)
    for parameter in [*constructor.args.posonlyargs, *constructor.args.args, *constructor.args.kwonlyargs][1:]:
        name, value = parameter.arg, values.get(parameter.arg)
        annotation = ast.unparse(parameter.annotation) if parameter.annotation else "Any"
        yield Field(name, annotation, ast.unparse(value) if value else "", texts.get(name, ""))


def _binding(module: Module, name: str, behind: tuple[str, ...] = ()) -> ast.FunctionDef | ast.expr | None:
    """Returns the function or value that a module gives a name, itself or by importing it; None if its text doesn't tell."""
    # Its own definition, or the one that it imports.
    for node in statements(module.tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node.value  # type: ignore[attr-defined]
        if isinstance(node, ast.ImportFrom) and (place := f"{module.name}:{name}") not in behind:
            original = next((alias.name for alias in node.names if (alias.asname or alias.name) == name), None)
            file = locate(module.absolute(node)) if original else None
            if original and file and file.endswith(".py"):
                return _binding(Module(module.absolute(node), file), original, (*behind, place))
    return None


def _inherited(module: Module, node: ast.ClassDef, base: ast.expr, behind: tuple[str, ...]) -> tuple[Field, ...]:
    definition = _base(module, node, base, behind)
    return definition.fields if definition else ()


def _base(module: Module, node: ast.ClassDef, base: ast.expr, behind: tuple[str, ...]) -> Definition | None:
    """Returns the definition of a class's base, None where its text doesn't tell."""
    if not isinstance(base, ast.Name) or base.id == node.name:
        return None
    try:
        return _defined(module, base.id, behind)
    except UnreadableError:
        return None  # a base such as `abc.ABC`, from a module that is no plugin's business


def _keyword(call: ast.expr, name: str) -> str:
    value = defaults.argument(call, name) if isinstance(call, ast.Call) else None
    if isinstance(value, ast.Constant):
        return str(value.value)
    return ast.unparse(value) if value else ""
