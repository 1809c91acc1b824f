"""From an environment in a file to a trained agent, its evaluation and its video; each command as a function."""

import builtins
import contextlib
import inspect
import os
import pathlib

import pytest

import agentlab
import guessing
from agentlab import errors
from agentlab.program import cli

OWN = pathlib.Path(guessing.__file__).read_text("utf-8")
IMAGES = f"""
import gymnasium, numpy as np

class Lamp(gymnasium.Env):
    '''Shows a bright or a dark picture; the action that names which earns 1.'''

    observation_space = gymnasium.spaces.Box(0, 255, (40, 44, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def observe(self):
        self.answer = int(self.np_random.integers(2))
        return np.full((40, 44, 3), 200 * self.answer, np.uint8)

{inspect.getsource(guessing.Guess.reset)}
{inspect.getsource(guessing.Guess.step)}"""
SMALL = [
    "model.hidden_units=[8]",
    "trainer.learning_starts=20",
    "memory.capacity=100",
    "memory.batch_size=8",
    "evaluation.episodes=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """A run that `agentlab run auto` began from another directory, by the relative path of the file."""
    with contextlib.chdir(folder):
        changes = [word for setting in SMALL for word in ("--set", setting)]
        words = ["run", "auto", "--environment", "own.py", "--steps", "60", "--run-dir", "run", *changes]
        assert cli.main(words) == 0
    return folder / "run"


def test_auto_says_which_task_and_why(folder, capsys):
    words = ["run", "auto", "--environment", str(folder / "own.py"), "--steps", "1", "--set", "trainer.nothing=1"]
    assert cli.main(words) == 2
    text = capsys.readouterr()
    assert text.out.startswith("Chose task 'dqn' for own.py: its actions are a choice among 2 values.")
    assert "nothing" in text.err


@pytest.fixture(scope="module")
def seen_by_convolutions(tmp_path_factory):
    """A run of what `auto` chose for an environment of a file that shows images."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "lamp.py").write_text(IMAGES)
    changes = {
        "num_environments": 2,
        "report_period": 64,
        "model": {"convolutions": [[4, 8, 8]], "hidden_units": [8]},
        "trainer": {"rollout_steps": 32, "learning_rate": 0.002, "discount": 0.0},
        "evaluation": {"episodes": 10},
    }
    return agentlab.run("auto", changes=changes, environment=str(folder / "lamp.py"), steps=640, run_dir=folder / "run")


def test_images_are_learned_by_convolutions(seen_by_convolutions):
    run = seen_by_convolutions
    assert run.task.name == "ppo-images"
    assert "conv2d" in [layer.name.partition("_")[0] for layer in run.model.layers]
    assert run.result["evaluation"]["return_mean"] >= 9.0  # by chance: 5 of 10


def test_without_an_environment_auto_is_refused(capsys):
    assert cli.main(["run", "auto"]) == 2
    assert "chooses a task for an environment, and none is named" in capsys.readouterr().err


@pytest.mark.slow
def test_the_run_is_opened_again_on_the_users_word(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(run)]) == 2
    assert "would have the file" in capsys.readouterr().err
    video = tmp_path / "own.gif"
    assert cli.main(["play", str(run), "--trust", "--video", str(video)]) == 0
    assert video.read_bytes().startswith(b"GIF")
    assert cli.main(["resume", str(run), "--trust", "--steps", "80", "--quiet"]) == 0


@pytest.mark.slow
def test_evaluate_play_report_info_and_list_are_functions(run, tmp_path):
    result = agentlab.evaluate(run, episodes=3, seed=5, trust=True)
    assert result["episodes"] == 3
    assert 0.0 <= result["return_mean"] <= 10.0
    with pytest.raises(errors.UsageError, match="trust=True"):
        agentlab.evaluate(run)

    comparison = agentlab.report(run, tmp_path / "page.html")
    assert [row.task for row in comparison.rows] == ["dqn"]
    assert "dqn" in (tmp_path / "page.html").read_text("utf-8")
    assert "epsilon-greedy" in agentlab.info("dqn")
    assert {row["kind"] for row in agentlab.list("sampler")} == {"sampler"}
    assert "list" not in agentlab.__all__
    assert isinstance(agentlab.list("task"), builtins.list)


@pytest.mark.slow
def test_a_run_in_an_environment_that_is_named(folder, tmp_path):
    changes = {"model.hidden_units": [8], "evaluation.episodes": 1}
    run = agentlab.run("auto", changes=changes, environment=f"{folder / 'own.py'}:Guess", steps=20, run_dir=tmp_path / "run")
    assert run.task.name == "dqn"
    assert run.task.steps == 20
    assert repr(run).startswith("<Run of dqn, seed 0, 20 steps, return ")
    assert "\n" not in repr(run)
    assert os.fspath(run) == str(tmp_path / "run")
    assert agentlab.evaluate(run, trust=True)["episodes"] == 1


@pytest.mark.slow
def test_a_training_in_a_line(folder, tmp_path):
    changes = {"model.hidden_units": [8], "evaluation.episodes": 1, "report_period": 10}
    with agentlab.train(
        "dqn", changes=changes, environment=f"{folder / 'own.py'}", steps=20, run_dir=tmp_path / "run"
    ) as training:
        assert repr(training) == f"<Training in {tmp_path / 'run'}, not begun: {training.agent!r}>"
        next(training)
        assert "under way" in repr(training)


def test_another_environment_is_also_the_one_to_be_judged_in():
    from agentlab.runs.composition import resolved

    task = resolved("dqn-cartpole", environment="Acrobot-v1")
    assert (task.environment.settings, task.evaluation.environment) == ({"id": "Acrobot-v1"}, None)
    with pytest.raises(errors.UsageError, match=r"No environment named 'acrobat'.*'acrobot'"):
        resolved("dqn", environment="acrobat")
