"""Runs of version 1: refused in a sentence that names what opens them, and left as they are."""

import json
import pathlib
import shutil

import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.program.cli import main
from agentlab.runs.checkpoints import Checkpoints
from agentlab.runs.files import run_config
from agentlab.system.folder import Folder
from agentlab_envs.control.cartpole import CartPole

TASK = {
    "name": "dqn-cartpole",
    "description": "DQN balances CartPole.",
    "environment": {"name": "cartpole", "package": "agentlab"},
    "model": {"name": "mlp", "package": "agentlab", "hidden_units": [4]},
    "trainer": {"name": "dqn", "package": "agentlab", "learning_starts": 8},
    "sampler": {"name": "epsilon-greedy", "package": "agentlab"},
    "memory": {"name": "replay", "package": "agentlab", "capacity": 64, "batch_size": 8},
    "steps": 64,
    "num_environments": 2,
}
SPEC = {
    "name": "cartpole",
    "observation": {"shape": [4], "dtype": "float32", "minimum": None, "maximum": None},
    "action": {"num_values": 2, "dtype": "int64", "start": 0},
    "target": None,
    "max_episode_steps": 500,
    "num_episodes": None,
    "vocabulary": None,
}
AGENT = {  # names of variables as version 1 has them
    "model/000": np.zeros((4, 4), np.float32),
    "model/001": np.zeros(4, np.float32),
    "trainer/target/000": np.zeros((4, 4), np.float32),
    "trainer/optimizer/iteration": np.array(7),
    "updates": np.array(7),
    "steps": np.array(64),
}
MEMORY = {"memory/reward": np.zeros(64, np.float32), "memory/added": np.array([64])}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    directory = tmp_path_factory.mktemp("version-1") / "run"
    directory.mkdir()
    versions = {"python": "3.11.7", "agentlab": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"}
    config = {"task": TASK, "seed": 0, "spec": SPEC, "inexact": "", "versions": versions}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "metrics.jsonl").write_text('{"step": 64}\n')
    (directory / "result.json").write_text('{"task": "dqn-cartpole", "steps": 64}')
    Checkpoints(directory / "checkpoints").save(
        64, {"agent": AGENT, "memory": MEMORY}, {"metrics_bytes": 13, "best": None, "exact": True}
    )
    return directory


@pytest.fixture
def run(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return pathlib.Path(shutil.copytree(original, "run"))


def snapshot(directory):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(directory.rglob("*")) if path.is_file()}


SENTENCE = (
    "'run' is a run of agentlab 0.1.0, whose checkpoints this version can't read. Open it with version 1, in a Python "
    "environment of its own: pip install 'agentlab<2'."
)
COMMANDS = {
    "resume": ["resume", "run"],
    "more steps": ["resume", "run", "--steps", "128"],
    "evaluate": ["evaluate", "run"],
    "one checkpoint": ["evaluate", "run", "--step", "64"],
    "trusted": ["evaluate", "run", "--trust"],
    "play": ["play", "run", "--video", "a.gif"],
    "sample": ["sample", "run"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_that_opens_one_says_which_version_does(run, tmp_path, command, capsys):
    before = snapshot(tmp_path)
    assert main(command) == 2
    assert capsys.readouterr().err == f"agentlab: {SENTENCE}\n"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("call", [agentlab.load, agentlab.resume], ids=lambda call: call.__name__)
def test_so_does_a_call(run, tmp_path, call):
    before = snapshot(tmp_path)
    with pytest.raises(errors.UsageError) as failure:
        call("run")
    assert str(failure.value) == SENTENCE
    assert snapshot(tmp_path) == before


def test_a_new_run_in_its_directory_is_not_told_to_resume_it(run, capsys):
    assert main(["run", "linear-regression", "--run-dir", "run"]) == 2
    complaint = capsys.readouterr().err
    assert "'run'" in complaint
    assert "resume" not in complaint


@pytest.mark.parametrize(
    ("versions", "is_refused"),
    [
        ({"agentlab": "0.1.0"}, True),
        ({"agentlab": "1.12.3"}, True),
        ({"agentlab": "1"}, True),
        ({"agentlab": "2.0.0"}, False),
        ({"agentlab": "10.0"}, False),
        ({"agentlab": 0.1}, False),
        ({}, False),
        (None, False),
        ("0.1.0", False),
    ],
)
def test_the_version_is_that_in_the_config(run, versions, is_refused):
    file = run / "config.json"
    data = {**json.loads(file.read_text()), "versions": versions}
    file.write_text(json.dumps(data if is_refused else {**data, "spec": CartPole().spec.as_data()}))
    folder = Folder.open(run)
    if is_refused:
        with pytest.raises(errors.UsageError, match=r"Open it with version 1"):
            run_config.read_config(folder, run)
    else:
        assert run_config.read_config(folder, run).task.name == "dqn-cartpole"
