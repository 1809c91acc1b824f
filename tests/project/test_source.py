"""The source text says what things are: types of parameters, comments of reasons and shapes, functions of a few lines."""

import ast
import statistics

import pytest

from paths import ROOT

FILES = [
    path
    for folder in ("agentlab", "plugins", "envs")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "templates" not in path.parts
]


@pytest.fixture(scope="module")
def functions():
    """Every function of the packages."""
    trees = [ast.parse(path.read_text("utf-8")) for path in FILES]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters(function):
    """Returns a function's parameters, but for the instance or class that it is a method of."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [parameter for parameter in every if parameter is not None and parameter.arg not in ("self", "cls")]


def length(function):
    """Returns a function's lines without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_few_parameters_are_typed_any(functions):
    annotations = [ast.unparse(parameter.annotation) for function in functions for parameter in parameters(function)]
    assert annotations.count("Any") <= 0.05 * len(annotations)


def test_what_is_typed_object_is_checked_or_only_handed_on(functions):
    """`object` is for values of which nothing is known yet; it is no way around saying what a parameter is."""
    annotations = [ast.unparse(parameter.annotation) for function in functions for parameter in parameters(function)]
    assert annotations.count("object") <= 0.05 * len(annotations)


def test_comments_of_their_own_line():
    lines = [line.strip() for path in FILES for line in path.read_text("utf-8").splitlines()]
    comments = [line for line in lines if line.startswith("#")]
    assert len(comments) >= 15 * len(lines) / 1000


def test_functions_are_short(functions):
    lengths = sorted(filter(None, map(length, functions)))
    assert statistics.median(lengths) <= 6
    assert lengths[int(0.9 * len(lengths))] <= 15
    assert lengths[-1] <= 45
