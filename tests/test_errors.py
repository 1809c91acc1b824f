"""Messages: a sentence of another library's that ours quotes brings its own full stop, and there is one in the end."""

import warnings

import gymnasium
import keras
import numpy as np
import pytest

import agentlab
from agentlab import errors, settings
from agentlab.loop.statistics import NonFinite
from agentlab.model import ModelBuilder
from agentlab.program.cli import main
from agentlab.registry import plugins
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec, conform
from agentlab.trainer import Trainer

SPEC = EnvironmentSpec("example", Array((2,)), Discrete(2))
QUOTED = {
    "No such layer.": "No such layer. Choose another.",
    "No such layer": "No such layer. Choose another.",
    "Stop!": "Stop! Choose another.",
    "Loading...": "Loading... Choose another.",
    "A line.\n": "A line. Choose another.",
    "'../data'": "'../data'. Choose another.",
    "'..'": "'..'. Choose another.",
}


def kinds(base):
    return [base, *(kind for derived in base.__subclasses__() for kind in kinds(derived))]


KINDS = [kind for kind in [*kinds(errors.AgentlabError), errors.RunWarning] if kind is not NonFinite]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_sentence_keeps_one_full_stop(kind, quoted):
    assert str(kind(f"{quoted}. Choose another.")) == QUOTED[quoted]


def raises(message, kind=ValueError):
    def function(*_, **__):
        raise kind(message)

    return function


class Refusing(ModelBuilder):
    build = raises("No.")


class Picky(Trainer):
    """A trainer whose settings are never right."""

    def __init__(self, size: int = 1) -> None:
        raise ValueError("Too small.")

    num_outputs = loss = raises("")


class Broken(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    reset = raises("The server is down.", RuntimeError)


def plugin_file(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("raise RuntimeError('Not today.')\n")
    plugins.add_file(file)


COMPOSED = {
    "model": lambda _: build_model(Refusing(), SPEC, 2, 0),
    "model that refuses": lambda _: build_model(keras.Sequential([keras.layers.Conv2D(2, 3)]), SPEC, 2, 0),
    "setting": lambda _: settings.build(Picky, {"size": 0}, "trainer 'picky'"),
    "optimizer": lambda _: agentlab.make_agent("dqn", changes={"trainer": {"optimizer": {"name": "adam", "way": 1}}}),
    "environment": lambda _: agentlab.make_agent("dqn", environment=raises("No such game.", RuntimeError)),
    "environment that raises": lambda path: agentlab.run("dqn", environment=Broken, run_dir=path / "run"),
    "environment that is not registered": lambda _: agentlab.make_agent("dqn", changes={"environment": {"id": "No-v9"}}),
    "plugin file": plugin_file,
    "observation": lambda _: conform([[1.0], [1.0, 2.0]], Array((2,)), "The agent"),
    "configuration": lambda path: main(["run", "--config", str(path / "none.toml"), "dqn"]),
    "unexpected": lambda path: main(["list"]),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_no_message_has_a_doubled_full_stop(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("agentlab.program.listing.rows", raises("Never.", RuntimeError))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            COMPOSED[name](tmp_path)
            message = capsys.readouterr().err
        except errors.AgentlabError as error:
            message = str(error)
    assert message.strip().endswith(".")
    assert ".." not in message.replace("...", "")
    assert ". ." not in message
