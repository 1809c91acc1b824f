"""Policy gradients learn policies and values that are known by hand, and planted bugs make them learn others."""

import math

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab.algorithms.advantages import generalized_advantages
from agentlab.distribution import SquashedNormal
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.runs.composition.free_outputs import with_free_outputs
from agentlab.runs.model_building import build_model
from agentlab.sampler import Stochastic
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import Step
from agentlab_memories.rollout import Rollout
from agentlab_policy_gradient import trainer as base
from agentlab_policy_gradient.a2c import A2C
from agentlab_policy_gradient.ppo import PPO
from agentlab_policy_gradient.reinforce import Reinforce
from two_states import Steps

pytestmark = pytest.mark.slow

DISCOUNT = 0.5
ROWS = 16


@attrs.frozen
class Bait(DeviceEnvironment):
    """Episodes of one step. Action 0 earns 1. Action 1 earns nothing, but the next episode earns 3 whatever is done in it.

    Nothing of that is shown, and it is another episode's: action 0 is best.
    """

    @property
    def spec(self):
        return EnvironmentSpec("bait", Array((2,)), Discrete(2))

    def initial(self, seed, batch):
        return tf.zeros([batch], tf.int64)

    def restart(self, state, seed):
        return state

    def transition(self, state, action, seed):
        return action, tf.cast((1 - action) + 3 * state, tf.float32), tf.ones_like(state, tf.bool), ()

    def observe(self, state):
        return tf.ones([state.shape[0], 2])


@attrs.frozen
class Idle(DeviceEnvironment):
    """Takes a number from -1 to 1 and earns nothing by any."""

    @property
    def spec(self):
        return EnvironmentSpec("idle", Array((2,)), Array((1,), minimum=-1.0, maximum=1.0), 10)

    def initial(self, seed, batch):
        return tf.zeros([batch], tf.int64)

    def transition(self, state, action, seed):
        return state, tf.zeros_like(action[:, 0]), tf.zeros_like(state, tf.bool), ()

    def observe(self, state):
        return tf.ones([state.shape[0], 2])


SETTINGS = {
    PPO: {"rollout_steps": 8, "num_epochs": 4, "num_minibatches": 1, "learning_rate": Linear(0.05, 1e-4)},
    A2C: {"rollout_steps": 4, "learning_rate": Linear(0.1, 1e-4), "max_gradient_norm": None},
    Reinforce: {"rollout_steps": 8, "learning_rate": Linear(0.1, 1e-4)},
}


def linear(num_outputs):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(num_outputs, use_bias=False, kernel_initializer="zeros")])


def learned(environment, kind=PPO, gear=DeviceGear, turns=600, **settings):
    """Returns an agent of linear networks that has learned."""
    spec = environment.spec
    trainer = kind(**{"discount": DISCOUNT, **SETTINGS.get(kind, SETTINGS[PPO]), **settings})
    models = {}
    for name, network in trainer.networks(spec).items():
        source = linear(network.num_outputs - len(network.free_outputs))
        models[name] = [build_model(with_free_outputs(source, spec, network.free_outputs), spec, network.num_outputs, 0)]
    agent = Agent(spec, Parts(models, Stochastic(), trainer, Rollout()), ROWS, 0, "graph", turns * ROWS)
    running = gear(agent, environment if gear is DeviceGear else HostedEnvironment(environment, ROWS), 0)
    running.start()
    running.run(turns)
    return agent


SHOWN = np.eye(2, dtype=np.float32)


def values_of(agent):
    """Returns the values of the two observations."""
    trained = agent.trainer.trained
    return trained["value" if "value" in trained else "policy"](SHOWN)[:, -1].numpy()


def policy_of(agent):
    """Returns the probability of action 1 on the two observations."""
    return tf.nn.softmax(agent.model(SHOWN)[:, :2])[:, 1].numpy()


def finds_the_way(agent):
    return policy_of(agent).min() > 0.95 and np.abs(values_of(agent) - [1.0, 2.0]).max() < 0.1


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("kind", [PPO, A2C, Reinforce])
def test_the_way_is_found_and_valued(kind, limit):
    assert finds_the_way(learned(Steps(limit=limit), kind, turns=1_200))


@pytest.mark.parametrize("kind", [PPO, A2C, Reinforce])
def test_nothing_is_valued_beyond_the_end_of_the_task(kind):
    agent = learned(Steps(terminates=True), kind)
    assert np.abs(values_of(agent) - [0.0, 1.0]).max() < 0.1


def test_the_way_is_found_on_the_host():
    assert finds_the_way(learned(Steps(limit=3), gear=HostGear))


def test_the_way_is_found_by_one_network_for_both():
    assert finds_the_way(learned(Steps(limit=3), shared_torso=True))


def test_truncation_taken_for_termination_is_found(monkeypatch):
    between = Step.between

    def without_bootstrapping(decision, timestep, keep=()):
        step = between(decision, timestep, keep)
        return attrs.evolve(step, discount=1.0 - tf.cast(timestep.ended, tf.float32))

    monkeypatch.setattr(Step, "between", staticmethod(without_bootstrapping))
    agent = learned(Steps(limit=1))
    assert not finds_the_way(agent)
    assert np.abs(values_of(agent) - [0.0, 1.0]).max() < 0.1


def test_nothing_beyond_the_end_of_a_rollout_is_found(monkeypatch):
    def cut_off(reward, discount, ended, values, next_values, factor, trace_decay):
        last = tf.range(reward.shape[1]) == reward.shape[1] - 1
        next_values = tf.where(last, 0.0, next_values)
        return generalized_advantages(reward, discount, ended, values, next_values, factor, trace_decay)

    monkeypatch.setattr(base, "generalized_advantages", cut_off)
    assert not finds_the_way(learned(Steps(limit=100)))


def test_a_bait_in_the_next_episode_is_not_taken():
    assert policy_of(learned(Bait())).max() < 0.05


def test_advantages_across_a_reset_are_found(monkeypatch):
    def across(reward, discount, ended, *others):
        return generalized_advantages(reward, discount, tf.zeros_like(ended), *others)

    monkeypatch.setattr(base, "generalized_advantages", across)
    assert policy_of(learned(Bait())).min() > 0.5


def test_a_stale_log_probability_is_found():
    """Planted bug: ratios are to the policy of the very beginning, so that they stop counting once it has moved by the clip."""

    class Stale(PPO):
        def collect(self, memory, seed, trace_decay):
            experience, metrics = super().collect(memory, seed, trace_decay)
            return attrs.evolve(experience, log_probability=tf.fill(experience.value.shape, math.log(0.5))), metrics

    assert policy_of(learned(Steps(limit=3), Stale)).min() < 0.9


def deviation_of_idling():
    """Returns the standard deviation before the squashing of a policy that has nothing to do but spread."""
    return float(np.exp(learned(Idle(), squashed=True, entropy_weight=1.0, initial_deviation=0.3).model(SHOWN)[0, 1]) * 0.3)


def test_a_squashed_policy_with_nothing_to_do_spreads_over_its_bounds():
    """Of normal numbers through tanh, those of a deviation of about 0.87 are the most evenly spread."""
    outputs = np.stack([np.zeros(200), np.log(np.linspace(0.2, 3.0, 200))], axis=1).astype(np.float32)
    distribution = SquashedNormal(shape=(1,), low=np.float32([-1.0]), high=np.float32([1.0]))
    widest = float(np.exp(outputs[np.argmax(distribution.of(tf.constant(outputs)).entropy()), 1]))
    assert widest == pytest.approx(0.87, abs=0.05)
    assert deviation_of_idling() == pytest.approx(widest, abs=0.1)


def test_a_missing_logarithm_of_the_squashing_is_found(monkeypatch):
    monkeypatch.setattr(SquashedNormal, "entropy", lambda squashed: squashed._normal().entropy())
    assert deviation_of_idling() > 2.0
