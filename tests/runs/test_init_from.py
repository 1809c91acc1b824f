"""A run may begin with the weights of another run; resumed, it still does."""

import json
import shutil

import keras
import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.program.cli import main
from agentlab.runs.checkpoints import Checkpoints

SMALL = {
    "model": {"hidden_units": [8]},
    "memory": {"capacity": 200, "batch_size": 8},
    "trainer": {"learning_starts": 20},
    "evaluation": {"episodes": 1},
    "execution": "graph",
}


def changes(**own):
    return {**SMALL, "steps": 60, "environment": {"name": "cartpole"}, **own}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return agentlab.run("dqn", 3, changes(), run_dir=tmp_path_factory.mktemp("first") / "run")


def weights(model):
    return model.get_weights()


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_it_begins_with_the_weights_of_the_other_run(first, tmp_path):
    """Nothing is learned before step 20, and the target network is a copy of those weights."""
    own = changes(steps=10)
    run = agentlab.run("dqn", 4, own, run_dir=tmp_path / "run", init_from=first.directory)
    assert_same(weights(run.model), weights(first.model))
    held = np.concatenate([value.numpy().ravel() for _, value in run.agent.trainer.target.values()])
    assert_same([held], [np.concatenate([weight.ravel() for weight in weights(first.model)])])
    assert json.loads((run.directory / "config.json").read_text())["init_from"] == str(first.directory)


@pytest.mark.slow
def test_a_run_that_is_resumed_from_its_beginning_has_them_still(first, tmp_path):
    whole = agentlab.run("dqn", 4, changes(), run_dir=tmp_path / "whole", init_from=first.directory)
    own = changes(checkpoints_kept=10)
    asked = iter([False] * 3 + [True] * 100)
    with pytest.raises(errors.Interrupted):
        agentlab.run("dqn", 4, own, run_dir=tmp_path / "run", init_from=first.directory, stop=lambda: next(asked))
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    for step in checkpoints.steps()[1:]:
        shutil.rmtree(checkpoints.open(step).path)
    assert checkpoints.steps() == [0]
    resumed = agentlab.resume(tmp_path / "run")
    assert_same(weights(resumed.model), weights(whole.model))


def test_other_shapes_are_listed(first, tmp_path, capsys):
    command = ["run", "dqn", "--init-from", str(first.directory), "--set", "environment.name=cartpole", "--run-dir", "run"]
    assert main([*command, "--set", "model.hidden_units=[9]"]) == 2
    message = capsys.readouterr().err
    assert "can't begin with the weights of the run" in message
    assert "has model/000 as F32 (4, 8); expected float32 (4, 9)" in message


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(errors.UsageError, match="is not a run"):
        agentlab.run("dqn", 0, changes(), run_dir=tmp_path / "run", init_from=tmp_path / "nothing")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_model_of_ones_own_begins_with_them_too(first, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
    run = agentlab.run("dqn", 4, changes(steps=10), model=model, run_dir=tmp_path / "run", init_from=first.directory)
    assert_same(weights(run.model), weights(first.model))
