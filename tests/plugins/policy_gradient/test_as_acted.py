"""Policy gradients learn of the policy that acted: before a weight has changed, ratios are 1 and divergences 0."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.perception import Perception
from agentlab.model import Network
from agentlab.registry import plugins
from agentlab.runs.composition import build_part
from agentlab.runs.model_building import build_model
from agentlab.sampler import Stochastic
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Inputs, part
from agentlab.trainer import Network as declared
from agentlab_memories.rollout import Rollout
from agentlab_policy_gradient.grpo import GRPO
from agentlab_policy_gradient.ppo import PPO

PLANE, IMAGE, LETTER = Array((3,)), Array((6, 6, 1), minimum=0.0, maximum=4.0), Array((1,), "int64", 0, 4)
RECURRENT = {"units": 8, "layers": 2, "dropout": 0.5}
ATTENTION = {"units": 8, "layers": 1, "heads": 1, "context": 3, "dropout": 0.5}
DENSE = {"hidden_units": (16, 16), "dropout": 0.5, "noise": 0.5}
IMAGES = {"filters": (4,), "hidden_units": 16, "dropout": 0.5, "noise": 0.5}
RECALLED = Inputs(previous_action=True, previous_reward=True)
CASES = {  # of every installed model that draws something while it learns, at least one
    "mlp": (PLANE, DENSE),
    "mlp-functional": (PLANE, DENSE),
    "mlp-subclassed": (PLANE, DENSE),
    "cnn": (IMAGE, IMAGES),
    "cnn-functional": (IMAGE, IMAGES),
    "cnn-subclassed": (IMAGE, IMAGES),
    "cnn-normalized": (IMAGE, {"stem": 2, "stages": ((2, 2),), "dropout": 0.5}),
    "nature-cnn": (IMAGE, {"convolutions": ((2, 3, 1),), "hidden_units": (8,), "noise": 0.5}),
    "lstm": (PLANE, {**RECURRENT, "hidden_units": (4,)}),
    "lstm, letters": (LETTER, RECURRENT),
    "gru": (PLANE, RECURRENT),
    "gru, letters": (LETTER, {**RECURRENT, "embedding": 3}),
    "gpt": (PLANE, ATTENTION),
    "gpt, letters": (LETTER, ATTENTION),
    "decision-transformer": (PLANE, ATTENTION),
}
TRAINERS = {
    "ppo": lambda: PPO(rollout_steps=2, num_epochs=1, num_minibatches=1, clip=1e-3, shared_torso=True),
    "grpo": lambda: GRPO(clip=1e-3, kl_weight=1e-6),  # so that all rows are compared with the start
}


@attrs.frozen
class Grouped(DeviceEnvironment):
    """Shows random numbers and pays for high numbers; four rows are a group, and two steps an episode."""

    space: Array

    @property
    def spec(self):
        return EnvironmentSpec("grouped", self.space, Discrete(4), 2, group_size=4)

    def initial(self, seed, batch):
        return seeds.integers(seed, [batch], 5)

    def transition(self, state, action, seed):
        reward = tf.cast(action, tf.float32)
        return seeds.integers(seed, [len(state)], 5), reward, tf.zeros_like(state, tf.bool), ()

    def observe(self, state):
        shape = [len(state), *self.space.shape]
        return tf.cast(tf.broadcast_to(tf.reshape(state, [-1] + [1] * (len(shape) - 1)), shape), self.space.dtype)


def first_metrics(case, trainer):
    """Returns the metrics of the first update of an agent in `Grouped`, from one step of the optimizer."""
    (space, settings), name = CASES[case], case.partition(",")[0]
    environment, inputs = Grouped(space), RECALLED if name == "decision-transformer" else Inputs()

    # Weights in the thousandths, as of a transformer at first, would hide what is dropped.
    spec = Perception(environment.spec, inputs).spec
    builder, (network,) = build_part("model", part(name, **settings)), trainer.networks(spec).values()
    model = build_model(builder, spec, network.num_outputs, 0)
    for weight in model.trainable_variables:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape) / 2)

    parts = Parts({"policy": [model]}, Stochastic(), trainer, Rollout())
    agent = Agent(environment.spec, parts, 8, 0, "eager", 16, inputs=inputs)
    gear = DeviceGear(agent, environment, 0)
    gear.start()
    gear.run(2)
    return agent.learner.means.collect()


def test_there_is_a_case_of_every_model_that_draws():
    draws = {"dropout", "noise"}
    names = [offer.name for offer in plugins.offers("model") if offer.package == "agentlab"]
    drawing = {name for name in names if draws & {field.name for field in attrs.fields(plugins.load("model", name))}}
    assert drawing <= {case.partition(",")[0] for case in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("case", CASES)
def test_the_first_update_learns_of_the_policy_that_acted(case, trainer):
    metrics = first_metrics(case, TRAINERS[trainer]())
    assert metrics["clip_fraction"] == 0.0  # no ratio further than a thousandth from 1
    assert metrics["kl" if trainer == "grpo" else "approx_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["gradient_norm"] > 1e-3


@pytest.mark.parametrize("case", ["gru, letters", "lstm, letters"])
def test_an_update_that_drops_is_seen(case, monkeypatch):
    monkeypatch.setattr(Network, "unroll_as_acted", lambda self, *arguments: self.unroll(*arguments, training=True))
    monkeypatch.setattr(GRPO, "networks", lambda self, spec: {"policy": declared(self.distribution(spec).num_outputs)})
    metrics = first_metrics(case, TRAINERS["grpo"]())
    assert metrics["clip_fraction"] > 0.1
    assert metrics["kl"] > 1e-4
