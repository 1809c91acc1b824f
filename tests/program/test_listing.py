"""`agentlab list` and `agentlab info`: short on a terminal, complete everywhere, with defaults marked."""

import io
import sys

import pytest

from agentlab.program import listing
from agentlab.program.cli import main
from agentlab.registry import plugins


class Screen(io.StringIO):
    def isatty(self):
        return True


def output_of(monkeypatch, *words, columns="80"):
    """Returns the lines that a command shows on a terminal."""
    screen = Screen()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", columns)
        patch.setenv("NO_COLOR", "1")
        patch.setattr(sys, "stdout", screen)
        assert main([*words]) == 0
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_list_is_short_on_a_terminal_and_names_all_there_is(monkeypatch, columns):
    lines = output_of(monkeypatch, "list", columns=columns)
    assert len(lines) < 80
    assert max(map(len, lines)) <= int(columns)
    words = " ".join(lines).split()
    assert {offer.name for offer in plugins.every()} <= set(words)
    assert "agentlab_dqn" in words


FILE = """
from agentlab import Task, part

one = Task("far", "A task.", part("cartpole"), part("mlp"), part("dqn"), part("greedy"), part("replay"))
"""


def test_a_plugin_file_is_listed_by_its_name_wherever_it_is(tmp_path, monkeypatch):
    file = tmp_path / ("folder" * 20) / "own.py"
    file.parent.mkdir()
    file.write_text(FILE)
    installed = output_of(monkeypatch, "list")
    lines = output_of(monkeypatch, "list", "--plugin", str(file))
    assert [line.split() for line in lines if "own.py" in line] == [["own.py", "far"]]
    assert [line for line in lines if "own.py" not in line] == installed


def test_a_kind_is_listed_with_what_each_is(monkeypatch):
    lines = output_of(monkeypatch, "list", "trackers")
    assert lines[0] == "trackers"
    assert lines[1].startswith("  csv     Writes metrics.csv")
    assert lines[2].startswith("          ")
    assert max(map(len, lines)) <= 80


def test_the_overview_names_what_cannot_be_loaded():
    row = {
        "kind": "model",
        "name": "odd",
        "package": "p",
        "version": "1",
        "target": "p.m:odd",
        "problem": "it raised",
        "summary": "",
    }
    text = listing.overview([row])
    assert "model odd (p 1): can't be loaded: it raised" in text


def settings(name):
    """Returns the settings that `agentlab info` shows, as text by path."""
    return dict(line.strip().split(" = ", 1) for line in listing.describe(name).splitlines() if line.startswith("  "))


def test_a_task_is_described_with_every_setting_and_its_defaults_are_marked():
    described = settings("agentlab:dqn-cartpole")
    assert described["trainer.discount"] == "0.995"
    assert described["trainer.double"] == "true   (default)"
    assert described["trainer.optimizer"] == '"adam"   (default)'
    assert described["model.dueling"] == "false   (default)"
    assert described["steps"] == "450000"
    assert described["checkpoints_kept"] == "3   (default)"
    assert described["evaluation.environment.timeout"] == "8.0   (default)"
    order = list(described)
    assert order.index("trainer.double") < order.index("sampler.name")


def test_what_an_evaluation_takes_from_training_is_no_default():
    described = settings("classifier-mnist")
    assert described["environment.data"] == '"mnist"'
    assert "evaluation.environment.data" not in described


def test_a_description_is_wrapped_and_a_setting_hangs(monkeypatch):
    lines = output_of(monkeypatch, "info", "epsilon-greedy")
    assert max(map(len, lines)) <= 80
    place = next(place for place, line in enumerate(lines) if line.startswith("  epsilon = "))
    assert lines[place + 1].startswith("      ")


def test_help_keeps_the_lines_of_its_examples(monkeypatch):
    lines = output_of(monkeypatch)
    assert lines[0].startswith("usage: agentlab")
    start = lines.index("examples:")
    assert lines[start + 1].startswith("  agentlab run dqn-cartpole ")
