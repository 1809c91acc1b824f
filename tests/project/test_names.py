"""Variables, parameters, functions and attributes have names of the field: nouns for things, verbs for functions."""

import ast

import pytest

from paths import ROOT

# Participles that say what happened to a thing instead of what it is.
REFUSED = {"came_to", "each", "found", "given", "kept", "said", "shown", "told", "wanted"}
FOLDERS = ("agentlab", "plugins", "envs", "examples", "benchmarks", "tests")


def definitions(tree):
    """Yields the name and line of everything that a module defines; what it imports from elsewhere is not its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def refused_names(text):
    return [(name, line) for name, line in definitions(ast.parse(text)) if name.strip("_") in REFUSED]


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_names_are_nouns_of_the_field(folder):
    files = [path for path in sorted((ROOT / folder).rglob("*.py")) if "build" not in path.parts]
    assert files
    places = {str(path.relative_to(ROOT)): refused_names(path.read_text("utf-8")) for path in files}
    assert {path: names for path, names in places.items() if names} == {}


def test_every_kind_of_definition_is_seen():
    text = """
from hypothesis import given
@given(1)
def told(shown, *, kept=0):
    found: int = 1
    self.wanted = [each for each in kept]
class Said: _given = 2
"""
    names = sorted({name for name, _ in refused_names(text)})
    assert names == ["_given", "each", "found", "kept", "shown", "told", "wanted"]
