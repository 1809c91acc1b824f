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


PARTS = {
    *("Environment", "DeviceEnvironment", "Trainer", "Sampler", "Memory", "Tracker", "Learner", "Gear", "Distribution"),
    *("Array", "Discrete", "MultiDiscrete", "MultiBinary"),
}
UNTRUSTED = (  # they look at what others wrote: a file, or an object that a program or a part hands over
    "agentlab/registry/",
    "agentlab/runs/trackers/following.py",
    "agentlab/spec/environment_spec.py",
    "agentlab/testing/",
)


def kinds_asked_for(text):
    """Returns the lines that ask by `isinstance` or `issubclass` which kind of part or space something is."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and len(node.args) == 2]
    asking = [call for call in calls if ast.unparse(call.func) in ("isinstance", "issubclass")]
    return [call.lineno for call in asking if PARTS & {ast.unparse(node) for node in ast.walk(call.args[1])}]


@pytest.mark.slow
def test_parts_and_spaces_say_themselves_what_they_are():
    assert kinds_asked_for("if isinstance(part, (Environment, str)): ...\nisinstance(part, gymnasium.Env)") == [1]
    relative = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in FILES}
    asking = {name: kinds_asked_for(text) for name, text in relative.items() if not name.startswith(UNTRUSTED)}
    assert not {name: lines for name, lines in asking.items() if lines}
