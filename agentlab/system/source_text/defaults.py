"""Reads the default of a setting from source text: through `attrs.field`, factories and helpers."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable

FIELDS = ("field", "ib", "attrib")  # of attrs and dataclasses
FACTORIES = ("factory", "default_factory")
EMPTY = {"dict": "{}", "list": "[]", "tuple": "()", "str": "''", "int": "0", "float": "0.0", "bool": "False"}

LIVE_KEYS = ("LIVE", "settings.LIVE", "'live'")

LITERALS = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.BinOp)

Find = Callable[[str], ast.FunctionDef | ast.expr | None]


def text_of(value: ast.expr | None, find: Find) -> str:
    """Returns the default that an attribute of a class is given, as an expression; "" where it has none.

    Args:
        value: what the class body assigns to the attribute; None if it only annotates it.
        find: returns the function or value of a name, to see through constants, and through helpers that return a field.
    """
    # A name stands for a constant, a call for a field, a factory, or a function that returns a field.
    if isinstance(value, ast.Name):
        constant = find(value.id)
        return ast.unparse(constant if isinstance(constant, LITERALS) else value)
    if not isinstance(value, ast.Call):
        return ast.unparse(value) if value else ""
    if _called(value) == "Factory":
        return _made(value.args[0]) if value.args else ""
    field = _field(value, find)
    return ast.unparse(value) if field is None else _of_field(field, find)


def is_live(value: ast.expr | None, find: Find) -> bool:
    """Returns whether the metadata of an attribute's field say that it may be changed during training, see `settings.LIVE`.

    Args:
        value: as of `text_of`.
        find: as of `text_of`.
    """
    field = _field(value, find) if isinstance(value, ast.Call) else None
    metadata = argument(field, "metadata") if field is not None else None
    if not isinstance(metadata, ast.Dict):
        return False

    # Only a constant can say no; a function says when.
    entries = zip(metadata.keys, metadata.values, strict=True)
    values = [entry for key, entry in entries if key is not None and ast.unparse(key) in LIVE_KEYS]
    return any(not isinstance(entry, ast.Constant) or bool(entry.value) for entry in values)


def _field(call: ast.Call, find: Find) -> ast.Call | None:
    """Returns the call of `attrs.field` that a call is or returns, arguments in the place of parameters; None if neither."""
    if _called(call) in FIELDS:
        return call

    # A function of the module, such as `positive(0.5)`.
    function = find(_called(call))
    field = _returned_field(function) if isinstance(function, ast.FunctionDef) else None
    if not isinstance(function, ast.FunctionDef) or field is None:
        return None
    bound = _bound(field, _arguments(function, call))
    return bound if isinstance(bound, ast.Call) else None


def argument(call: ast.Call, name: str) -> ast.expr | None:
    """Returns the keyword argument `name` of a call, or None."""
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _called(call: ast.Call) -> str:
    """Returns the last part of a called name: `field` of `attrs.field(...)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _of_field(field: ast.Call, find: Find) -> str:
    for name in FACTORIES:
        if factory := argument(field, name):
            return _made(factory)
    return text_of(argument(field, "default"), find)


def _made(factory: ast.expr) -> str:
    """Returns the result of a factory, as an expression."""
    if isinstance(factory, ast.Lambda):
        return ast.unparse(factory.body)
    name = ast.unparse(factory)
    return EMPTY.get(name, f"{name}()")


def _returned_field(function: ast.FunctionDef) -> ast.Call | None:
    """Returns the `attrs.field(...)` that a helper returns, or None if it is no such helper."""
    returned = [node.value for node in function.body if isinstance(node, ast.Return)]
    return next((value for value in returned if isinstance(value, ast.Call) and _called(value) in FIELDS), None)


def parameter_defaults(parameters: ast.arguments) -> dict[str, ast.expr]:
    """Returns the defaults of a function's parameters by name."""
    positional = [parameter.arg for parameter in (*parameters.posonlyargs, *parameters.args)]
    values = dict(zip(positional[len(positional) - len(parameters.defaults) :], parameters.defaults, strict=True))
    named = zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
    return values | {parameter.arg: value for parameter, value in named if value is not None}


def _arguments(function: ast.FunctionDef, call: ast.Call) -> dict[str, ast.expr]:
    """Returns the arguments of a call by parameter name, defaults included."""
    positional = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
    values = dict(zip(positional, call.args, strict=False))
    return parameter_defaults(function.args) | values | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _bound(field: ast.Call, values: dict[str, ast.expr]) -> ast.Call:
    """Returns a helper's field with the helper's parameters replaced by what it was called with, also inside expressions."""

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return values.get(node.id, node)

    keywords = [ast.keyword(keyword.arg, Replace().visit(copy.deepcopy(keyword.value))) for keyword in field.keywords]
    return ast.Call(field.func, field.args, keywords)
