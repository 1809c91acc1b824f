"""What a listing reads of a file: one statement, without parsing the rest, where that can't make a difference."""

import py_compile

import pytest

from agentlab.registry import packages, plugins
from agentlab.system import source_text
from agentlab.system.source_text import modules

TEXT = "\"\"\"Text that shows\n\nclass Part:\n    '''Not this one.'''\n\"\"\"\n\nfrom textwrap import TextWrapper as Part\n"
BROKEN = 'class Part:\n    """What it is."""\n\n\nclass Other(:\n'


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Returns a function that writes a module, compiled or not, and returns its part's definition."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text, compiled):
        file = tmp_path / f"{name}.py"
        file.write_text(text, "utf-8")
        if compiled:
            py_compile.compile(str(file), doraise=True)
        return source_text.find(f"{name}:Part")

    return write


@pytest.mark.slow
def test_every_part_is_described_as_by_its_whole_file(tmp_path, monkeypatch):
    targets = [offer.target for kind in packages.GROUPS for offer in plugins.offers(kind) if offer.package == "agentlab"]
    assert len(targets) > 100
    monkeypatch.setattr(modules, "_is_compiled", lambda *_: True)
    modules._read.cache_clear()
    short = [source_text.find(target) for target in targets]
    modules._read.cache_clear()
    monkeypatch.setattr(modules, "_is_compiled", lambda *_: False)
    for target, definition in zip(targets, short, strict=True):
        whole = source_text.find(target)
        assert (definition.summary, definition.text) == (whole.summary, whole.text), target
        assert definition.fields == whole.fields, target


@pytest.mark.parametrize("compiled", [True, False])
def test_a_class_inside_a_text_is_not_the_part(module, compiled):
    assert module(f"shows_{int(compiled)}", TEXT, compiled).summary.startswith("Object for wrapping")


def test_an_error_in_the_rest_of_a_file_that_was_never_compiled_is_seen(module):
    with pytest.raises(source_text.UnreadableError, match="SyntaxError"):
        module("broken", BROKEN, compiled=False)


def test_a_file_that_changed_since_it_was_compiled_is_read_whole(module, tmp_path):
    assert module("changed", 'class Part:\n    """Before."""\n', compiled=True).summary == "Before."
    with pytest.raises(source_text.UnreadableError, match="SyntaxError"):
        module("changed", BROKEN, compiled=False)
