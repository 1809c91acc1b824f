"""Settings of built parts can't be changed during training, where that would do nothing; and training can be ended early."""

import json

import attrs
import keras
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, TimeStep, errors, settings
from agentlab.checks.frozen_settings import freeze
from agentlab.loop.agent import Agent, Parts
from agentlab.memory import Latest
from agentlab.registry import plugins
from agentlab.sampler import Greedy, Sampler
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Loss, Trainer

SPEC = EnvironmentSpec("example", Array((3,)), Discrete(2))
PARTS = [offer for kind in ("trainer", "sampler", "memory") for offer in plugins.offers(kind) if offer.package == "agentlab"]


@pytest.mark.parametrize("offer", PARTS, ids=lambda offer: f"{offer.kind}-{offer.name}")
def test_no_setting_of_a_frozen_part_can_be_changed(offer):
    cls = plugins.load(offer.kind, offer.name)
    part, other = cls(), cls()
    freeze(part)
    for setting in settings.describe(cls):
        with pytest.raises(
            errors.UsageError, match=f"Setting '{setting.name}' of {cls.__name__} can't be changed from .* to 0.5"
        ):
            setattr(part, setting.name, 0.5)
        assert getattr(part, setting.name) == getattr(other, setting.name)
    if offer.kind != "sampler" and offer.name != "latest":
        part.own, other.own = 1, 2  # what isn't a setting is its own business
        assert (part.own, other.own) == (1, 2)


class Plain(Trainer):
    """A trainer that writes its constructor."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.count = 0

    def loss(self, output, batch, seed):
        self.count += 1
        return Loss(self.weight * tf.square(batch.reward - output[:, 0]))


class Wider(Plain):
    """With one more setting; its class inherits what guards the other's."""

    def __init__(self, weight: float = 1.0, width: int = 2) -> None:
        super().__init__(weight)
        self.width = width


class Turned(Sampler):
    """A sampler that is no attrs class."""

    def __init__(self, turn: int = 1) -> None:
        self.turn = turn

    def sample(self, distribution, step, seed):
        return distribution.mode()


def test_parts_of_every_way_of_writing_one():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    first, trainer, sampler = Plain(), Wider(), Turned()
    freeze(first)
    agent = Agent(SPEC, Parts({"policy": [model]}, sampler, trainer, Latest(), Greedy()))
    for part, name in ((first, "weight"), (trainer, "weight"), (trainer, "width"), (sampler, "turn")):
        with pytest.raises(AgentlabError, match=f"Setting '{name}' of {type(part).__name__}"):
            setattr(part, name, 3)
    agent.trainer.count = 5
    Wider().width = 7  # another one, which isn't built yet


@pytest.mark.slow
def test_a_change_between_two_reports_is_refused(tmp_path):
    changes = {"steps": 2_000, "report_period": 500, "evaluation": {"episodes": 1}, "execution": "graph"}
    with agentlab.train("dqn-cartpole", changes=changes, run_dir=tmp_path / "run") as training:
        next(training)
        for part, name in ((training.agent.trainer, "discount"), (training.agent.learner.memory, "batch_size")):
            with pytest.raises(errors.UsageError, match=f"Setting '{name}'"):
                setattr(part, name, 1)
        with pytest.raises(errors.UsageError, match="Setting 'epsilon' of EpsilonGreedy can't be changed"):
            training.agent.parts.sampler.epsilon = 0.5
        run = finished_after_a_look(training)
    assert run.result["steps"] < 2_000


def finished_after_a_look(training):
    """Breaks out of the loop, and ends the run where it stands."""
    line = next(training)
    run = training.finish()
    assert training.run is run
    assert training.finish() is run
    assert line["step"] < run.result["steps"]
    files = {path.name for path in run.directory.iterdir()}
    assert {"result.json", "config.json", "metrics.jsonl", "checkpoints"} <= files
    assert json.loads((run.directory / "result.json").read_text()) == json.loads(json.dumps(run.result))
    lines = [json.loads(text)["step"] for text in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1] == line["step"]
    assert agentlab.load(run.directory).act([0.0, 0.1, 0.02, -0.1]) in (0, 1)
    with pytest.raises(StopIteration):
        next(training)
    return run


@pytest.mark.slow
def test_what_was_finished_early_goes_on_as_if_it_had_not_been(tmp_path):
    changes = {"steps": 1_200, "report_period": 400, "evaluation": {"episodes": 1}, "execution": "graph"}
    straight = agentlab.run("dqn-cartpole", changes=changes, run_dir=tmp_path / "straight")
    training = agentlab.train("dqn-cartpole", changes=changes, run_dir=tmp_path / "run")
    next(training)
    training.finish()
    (tmp_path / "run" / "result.json").unlink()
    resumed = agentlab.resume(tmp_path / "run")
    for one, other in zip(straight.model.get_weights(), resumed.model.get_weights(), strict=True):
        assert (one == other).all()
    one, other = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("straight", "run")
    )
    assert [(line["step"], line["return_mean"]) for line in one] == [(line["step"], line["return_mean"]) for line in other]


def test_what_cannot_be_finished_says_so(tmp_path):
    changes = {"steps": 2_000, "execution": "graph"}
    training = agentlab.train("dqn-cartpole", changes=changes, run_dir=tmp_path / "run")
    with pytest.raises(errors.UsageError, match="can't be finished here: it has not begun, or was closed"):
        training.finish()
    training.close()
    with pytest.raises(errors.UsageError, match="Take a line of metrics before"):
        training.finish()


def test_an_agent_in_a_loop_of_its_own(tmp_path):
    agent = agentlab.make_agent("dqn", changes={"trainer": {"learning_rate": 0.001}})
    agent.step(TimeStep.begin([0.0, 0.1, 0.02, -0.1]))
    with pytest.raises(errors.UsageError, match=r"Setting 'learning_rate' of DQN can't be changed from 0\.001 to 0\.1"):
        agent.trainer.learning_rate = 0.1
    assert attrs.evolve(agent.trainer, learning_rate=0.1).learning_rate == 0.1
