"""docs/questions.md does what it says at the terminal: its commands run, with the files that it shows."""

import re
import shlex
import tomllib

import pytest

from agentlab import configuration
from agentlab.program import listing
from agentlab.program.cli import main
from agentlab.registry import plugins
from paths import ROOT

TEXT = (ROOT / "docs" / "questions.md").read_text("utf-8")
(TOML,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
MODULE = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[0]
SHORT = [
    "--steps",
    "120",
    "--quiet",
    "--set",
    "evaluation.episodes=2",
    "--set",
    "model.hidden_units=[8]",
    "--set",
    "trainer.learning_starts=50",
    "--set",
    "execution=graph",  # XLA would take longer to compile than these steps take
]


def commands():
    """Returns the words of each command that runs a task, as it stands or once for a loop over seeds."""
    lines = [
        line for block in re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
    ]
    matches = [re.search(r"agentlab (run [^;]*)", line) for line in lines]
    assert all(matches)
    return [re.sub(r"\$seed|SEED", "3", match[1]) for match in matches]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with the files that the page shows, on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_games.py").write_text(MODULE)
    (tmp_path / "experiment.toml").write_text(TOML)
    return tmp_path


@pytest.mark.slow
def test_the_commands_run(place, capsys):
    assert len(commands()) == 8
    for number, command in enumerate(commands()):
        words = shlex.split(command)
        assert main([*words, *SHORT, "--run-dir", f"run-{number}"]) == 0, (command, capsys.readouterr().err)


def test_the_toml_file_is_a_task(place):
    changed = configuration.changed(plugins.load("task", "dqn"), configuration.read_config("experiment.toml"))
    data, table = changed.as_data(), tomllib.loads(TOML)
    assert data["environment"] == {"name": "gymnasium", **table["environment"]}
    assert data["trainer"]["learning_rate"] == table["trainer"]["learning_rate"]
    assert data["sampler"]["epsilon"]["kind"] == "exponential"
    assert (data["steps"], data["evaluation"]["stop_return"]) == (100_000, -90.0)


def test_every_trainer_is_named():
    table = TEXT.split("## How do I train")[0]
    for row in listing.rows("trainer"):
        if row["package"] == "agentlab":
            assert f"`{row['name']}`" in table
