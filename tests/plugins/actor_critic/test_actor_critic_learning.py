"""SAC and TD3 learn what is known by hand, and a planted bug makes them learn something else."""

import json

import attrs
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.distribution import numbers
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.device_gear import DeviceGear
from agentlab.program.cli import main
from agentlab.runs.model_building import build_model
from agentlab.sampler import Stochastic
from agentlab.spec import Array, EnvironmentSpec
from agentlab.types import Step
from agentlab_actor_critic.sac import SAC
from agentlab_actor_critic.td3 import TD3
from agentlab_envs.control.identity import Identity
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import Linear

pytestmark = pytest.mark.slow

DISCOUNT = 0.5
COLD = {"initial_temperature": 1e-4, "temperature_learning_rate": 0.0}
TRAINERS = {"sac": (SAC, COLD), "td3": (TD3, {})}


@attrs.frozen
class Wage(DeviceEnvironment):
    """Every step earns the same, whatever the action, and shows the same: with g = 0.5, an action is worth wage / (1 - g).

    Attributes:
        wage: earned at every step.
        limit: steps before an episode is truncated.
        terminates: whether every action ends the task; then an action is worth the wage.
    """

    wage: float = 1.0
    limit: int | None = None
    terminates: bool = False

    @property
    def spec(self):
        return EnvironmentSpec("wage", Array((1,)), Array((1,), minimum=-2.0, maximum=2.0), self.limit)

    def initial(self, seed, batch):
        return tf.ones([batch, 1])

    def transition(self, state, action, seed):
        return state, self.wage * state[:, 0], tf.fill(tf.shape(state)[:1], self.terminates), ()

    def observe(self, state):
        return state


def learned(environment, trainer, turns=200, rows=8, **settings):
    """Returns a trainer that has learned with linear networks, which begin at 0, from uniformly random actions."""
    defaults = {"learning_rate": 0.05, "update_period": rows, "learning_starts": 0, "target_update_rate": 0.1}
    trainer = trainer(discount=DISCOUNT, **{**defaults, **settings})
    spec = environment.spec
    networks = trainer.networks(spec)
    models = {
        name: [build_model(Linear(), network.input_spec(spec), network.num_outputs, 0) for _ in range(network.count)]
        for name, network in networks.items()
    }
    agent = Agent(spec, Parts(models, Stochastic(), trainer, UniformReplay(2_000, 64)), rows, 0, "graph")
    gear = DeviceGear(agent, environment, 0)
    gear.start()
    gear.run(turns)
    return trainer


def value(trainer):
    """Returns what the first critic says of the middle action."""
    return float(trainer.trained["critic"].models[0]({"observation": tf.ones([1, 1]), "action": tf.zeros([1, 1])})[0, 0])


ENDS = {
    "unending": (Wage(), 2.0),
    "cut at once": (Wage(limit=1), 2.0),
    "cut": (Wage(limit=3), 2.0),
    "terminating": (Wage(terminates=True), 1.0),
    "both": (Wage(terminates=True, limit=1), 1.0),
}


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("ends", ENDS)
def test_values_are_those_by_hand(ends, name):
    environment, expected = ENDS[ends]
    trainer, settings = TRAINERS[name]
    assert value(learned(environment, trainer, **settings)) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", TRAINERS)
def test_values_of_several_steps_are_the_same(name):
    trainer, settings = TRAINERS[name]
    for environment in (Wage(), Wage(limit=2)):
        assert value(learned(environment, trainer, num_steps=3, **settings)) == pytest.approx(2.0, abs=0.05)


def test_critics_without_target_networks_learn_the_same_values():
    assert value(learned(Wage(limit=3), SAC, target_update_rate=None, **COLD)) == pytest.approx(2.0, abs=0.05)


between = Step.between


def truncation_as_termination(decision, timestep, keep=()):
    """Planted bug: where an episode was cut off, nothing lies beyond."""
    return attrs.evolve(between(decision, timestep, keep), discount=1.0 - tf.cast(timestep.ended, tf.float32))


@pytest.mark.parametrize("name", TRAINERS)
def test_truncation_taken_for_termination_is_found(monkeypatch, name):
    trainer, settings = TRAINERS[name]
    monkeypatch.setattr(Step, "between", staticmethod(truncation_as_termination))
    assert value(learned(Wage(limit=1), trainer, **settings)) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", TRAINERS)
def test_missing_target_networks_are_found(monkeypatch, name):
    """Target networks that hardly move keep their initial values, 0, so that the wage alone is learned; unless left out."""
    trainer, settings = TRAINERS[name]
    frozen = {"target_update_rate": 1e-9, **settings}
    assert value(learned(Wage(), trainer, **frozen)) == pytest.approx(1.0, abs=0.05)
    monkeypatch.setattr(TargetNetwork, "output", lambda target, observation: target.model(observation))
    assert value(learned(Wage(), trainer, **frozen)) == pytest.approx(2.0, abs=0.05)


def entropy_by_hand(deviation):
    """Returns the entropy of `tanh` of a normal number of mean 0, by integration."""
    points = np.linspace(-12.0, 12.0, 20_001)
    density = np.exp(-0.5 * points**2) / np.sqrt(2 * np.pi)
    log_slope = 2.0 * (np.log(2.0) - deviation * points - np.logaddexp(0.0, -2.0 * deviation * points))
    return 0.5 * np.log(2 * np.pi * np.e) + np.log(deviation) + np.sum(density * log_slope) * (points[1] - points[0])


def widest(**settings):
    """Returns the standard deviation that SAC learns where nothing but entropy is earned."""
    trainer = learned(
        Wage(wage=0.0, terminates=True), SAC, turns=300, initial_temperature=1.0, temperature_learning_rate=0.0, **settings
    )
    _, log_deviation = trainer.model(tf.ones([1, 1])).numpy()[0]
    return np.exp(log_deviation)


def test_the_policy_of_the_largest_entropy():
    deviations = np.linspace(0.3, 3.0, 271)
    best = deviations[np.argmax([entropy_by_hand(deviation) for deviation in deviations])]
    assert widest() == pytest.approx(best, abs=0.1)


def test_a_missing_log_determinant_is_found(monkeypatch):
    """Planted bug: the density is that before squashing, whose entropy grows with the deviation without end."""
    monkeypatch.setattr(numbers, "_log_slope", tf.zeros_like)
    assert widest() > 2.0


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_a_policy_of_choices_weighs_them_by_their_values(temperature):
    """Of 4 symbols the one shown earns 1, and what follows is the same: the best policy's logits are 1 / T apart."""
    trainer = learned(
        Identity(episode_steps=1),
        SAC,
        turns=600,
        initial_temperature=temperature,
        temperature_learning_rate=0.0,
        target_update_rate=1.0,
    )
    policy = tf.nn.softmax(trainer.model(tf.eye(4))).numpy()
    right = np.exp(1 / temperature) / (np.exp(1 / temperature) + 3)
    np.testing.assert_allclose(np.diag(policy), right, atol=0.05)


def test_the_temperature_leads_the_entropy_to_its_target():
    trainer = learned(Wage(wage=0.0, terminates=True), SAC, turns=600, target_entropy=0.0, initial_temperature=0.1)
    policy = trainer.distribution(EnvironmentSpec("unit", Array((1,)), Array((1,), minimum=-1.0, maximum=1.0)))
    _, log_probability = policy.of(trainer.model(tf.ones([4_000, 1]))).sample_with_log_probability(seeds.at(1, 2))
    assert float(tf.reduce_mean(-log_probability)) > 0.0  # entropy alone is earned, and its target is exceeded
    assert float(trainer.temperature) < 0.05  # so it is worth less and less


LEARNS = {  # steps, and a mean return well beyond -1,200, that of a policy that has learned nothing
    ("sac-pendulum", "host"): (4_000, -700.0),
    ("td3-pendulum", "device"): (10_000, -500.0),
}


@pytest.mark.parametrize(("task", "gear"), LEARNS, ids=lambda value: value)
def test_a_pendulum_is_swung_up(tmp_path, monkeypatch, task, gear):
    monkeypatch.chdir(tmp_path)
    steps, least = LEARNS[task, gear]
    command = ["run", task, "--gear", gear, "--steps", str(steps), "--set", "evaluation.episodes=10", "--quiet"]
    assert main([*command, "--run-dir", "run"]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["gear"] == gear
    assert result["evaluation"]["return_mean"] >= least
