"""A run that was interrupted goes on to the same bits, whatever the parts and wherever it was stopped."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import agentlab
from agentlab import errors

SMALL_DQN = {
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"name": "dqn", "learning_starts": 32, "update_period": 8, "learning_rate": 0.01, "target_update_period": 5},
    "memory": {"capacity": 200, "batch_size": 16},
    "steps": 600,
    "report_period": 150,
    "checkpoint_period": 130,
    "evaluation": {"episodes": 4},
    "execution": "graph",
}
GYMNASIUM = {"name": "gymnasium", "id": "CartPole-v1"}
TEXT = {"name": "text", "text": "the quick brown fox jumps over the lazy dog. " * 40, "window": 8}
FAMILIES = {
    "device": ("dqn", {**SMALL_DQN, "environment": {"name": "cartpole"}, "num_environments": 4}),
    "hosted": ("dqn", {**SMALL_DQN, "environment": {"name": "cartpole"}, "gear": "host", "num_environments": 2}),
    "host": ("dqn", {**SMALL_DQN, "environment": GYMNASIUM}),
    "host-next-step": ("dqn", {**SMALL_DQN, "environment": {**GYMNASIUM, "autoreset": "next_step"}, "num_environments": 3}),
    "classifier": (
        "classifier-digits",
        {"steps": 3_000, "report_period": 700, "checkpoint_period": 450, "execution": "graph", "evaluation": {"episodes": 40}},
    ),
    "text": (
        "char-rnn",
        {
            "environment": TEXT,
            "model": {"name": "lstm", "units": 16, "layers": 1},
            "num_environments": 4,
            "steps": 240,
            "report_period": 64,
            "checkpoint_period": 56,
            "execution": "graph",
            "evaluation": {"episodes": 2},
        },
    ),
    "text-on-the-host": (
        "char-rnn",
        {
            "environment": TEXT,
            "model": {"name": "lstm", "units": 16, "layers": 1},
            "num_environments": 4,
            "steps": 120,
            "report_period": 64,
            "gear": "host",
            "evaluation": {"episodes": 2},
        },
    ),
}


class StopsAfter:
    """Answers True when it is asked for the last time."""

    def __init__(self, questions):
        self.left = questions

    def __call__(self):
        self.left -= 1
        return self.left <= 0


def lines(directory):
    """Returns the metrics without the wall-clock fields."""
    found = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith(("seconds", "_per_second"))} for line in found]


def newest(directory):
    """Returns the files with the arrays of the newest checkpoint."""
    step = max(int(path.name[5:]) for path in (directory / "checkpoints").iterdir())
    return {file.name: file for file in (directory / "checkpoints" / f"step-{step}").glob("*.safetensors")}


def assert_equal(one, other):
    assert lines(one) == lines(other)
    ours, theirs = newest(one), newest(other)
    assert ours.keys() == theirs.keys()
    for name, file in ours.items():
        if file.read_bytes() != theirs[name].read_bytes():
            found = load_file(theirs[name])
            for key, array in load_file(file).items():
                np.testing.assert_array_equal(array, found[key], err_msg=f"{name} {key}")
        assert file.read_bytes() == theirs[name].read_bytes()


def until_done(directory, questions):
    for count in questions:
        try:
            return agentlab.resume(directory, stop=StopsAfter(count))
        except errors.Interrupted:
            pass
    return agentlab.resume(directory)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_stopped_again_and_again_comes_to_the_same_bits(tmp_path, family):
    task, changes = FAMILIES[family]
    whole = agentlab.run(task, 3, changes, run_dir=tmp_path / "whole")
    with pytest.raises(errors.Interrupted):
        agentlab.run(task, 3, changes, run_dir=tmp_path / "parts", stop=StopsAfter(2))
    parts = until_done(tmp_path / "parts", (2, 1, 3))
    assert_equal(whole.directory, parts.directory)
    assert parts.result["evaluation"] == whole.result["evaluation"]
    assert parts.result["exact"]


@pytest.mark.parametrize("family", ["device", "host"])
def test_a_larger_budget_goes_on_from_where_the_run_ended(tmp_path, family):
    task, changes = FAMILIES[family]
    whole = agentlab.run(task, 1, changes, run_dir=tmp_path / "whole")
    agentlab.run(task, 1, {**changes, "steps": 200}, run_dir=tmp_path / "parts")
    assert_equal(whole.directory, agentlab.resume(tmp_path / "parts", steps=600).directory)
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["task"]["steps"] == 600
