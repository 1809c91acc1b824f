"""Policy gradients of a model with a state, in a problem that only the state solves; planted bugs keep it from being solved."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.evaluation import Evaluator
from agentlab.loop.host.gear import HostGear
from agentlab.model import Network, RecurrentModel
from agentlab.runs.model_building import build_model
from agentlab.sampler import Greedy, Stochastic
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_memories.rollout import Rollout
from agentlab_policy_gradient import experience
from agentlab_policy_gradient.a2c import A2C
from agentlab_policy_gradient.ppo import PPO

ROWS, LENGTH, TURNS = 8, 3, 320
BLIND = 2  # the best return of an agent whose state, at sequences of one step, tells it nothing: action 0 each time
SETTINGS = {
    PPO: {"rollout_steps": 8, "num_epochs": 4, "num_minibatches": 1, "learning_rate": Linear(0.05, 1e-3)},
    A2C: {"rollout_steps": 8, "learning_rate": Linear(0.2, 1e-3), "max_gradient_norm": None},
}


@attrs.frozen
class Rhythm(DeviceEnvironment):
    """Episodes of three steps, of which nothing is shown: the actions 0, 1 and 0 earn 1 each."""

    @property
    def spec(self):
        return EnvironmentSpec("rhythm", Array((1,)), Discrete(2), LENGTH)

    def initial(self, seed, batch):
        return tf.zeros([batch], tf.int64)

    def transition(self, state, action, seed):
        return state + 1, tf.cast(tf.equal(action, state % 2), tf.float32), tf.zeros_like(state, tf.bool), ()

    def observe(self, state):
        return tf.zeros([state.shape[0], 1])


class Clock(RecurrentModel):
    """The state counts steps, 0 to 3 and again; each count has outputs of its own. Unless it is reset, it is out of step."""

    def __init__(self, num_outputs):
        super().__init__(name="clock")
        self.head = keras.layers.Dense(num_outputs, use_bias=False, kernel_initializer="zeros")
        self.head.build((None, LENGTH + 1))
        self.built = True

    def initial_state(self, batch_size):
        return tf.zeros([batch_size], tf.int64)

    def call(self, observation, state, training=False):
        return self.head(tf.one_hot(state, LENGTH + 1)), (state + 1) % (LENGTH + 1)


def played(kind=PPO, gear=DeviceGear, **settings):
    """Returns the mean return of an agent that has learned."""
    environment = Rhythm()
    spec, trainer = environment.spec, kind(shared_torso=True, discount=0.5, **{**SETTINGS[kind], **settings})
    (network,) = trainer.networks(spec).values()
    models = {"policy": [build_model(Clock(network.num_outputs), spec, network.num_outputs, 0)]}
    agent = Agent(spec, Parts(models, Stochastic(), trainer, Rollout()), ROWS, 0, "graph", TURNS * ROWS)
    running = gear(agent, environment if gear is DeviceGear else HostedEnvironment(environment, ROWS), 0)
    running.start()
    running.run(TURNS)
    evaluator = Evaluator(HostedEnvironment(environment, 2), agent.actor(Greedy(), 1), 2, 0)
    return evaluator.run()["return_mean"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "length"), [(PPO, None), (PPO, 1), (A2C, 4)], ids=["PPO", "PPO-1", "A2C-4"])
def test_what_only_the_state_tells_is_learned(kind, length):
    assert played(kind, sequence_length=length) == LENGTH


@pytest.mark.slow
def test_it_is_learned_on_the_host():
    assert played(gear=HostGear) == LENGTH


@pytest.mark.slow
def test_a_state_that_is_not_reset_in_learning_is_found(monkeypatch):
    monkeypatch.setattr(experience, "begins", lambda ended: tf.zeros_like(ended))
    assert played() < LENGTH


@pytest.mark.slow
def test_a_state_that_is_not_reset_in_acting_is_found(monkeypatch):
    monkeypatch.setattr(Network, "restart", lambda self, state, begun: state)
    assert played(sequence_length=1) == BLIND


@pytest.mark.slow
def test_a_stale_state_is_found(monkeypatch):
    cut = experience.Experience.cut

    def from_the_start(rollout, length, *numbers):
        return cut(attrs.evolve(rollout, state=tf.zeros_like(rollout.state)), length, *numbers)

    monkeypatch.setattr(experience.Experience, "cut", staticmethod(from_the_start))
    assert played(sequence_length=1) == BLIND


def test_returns_are_three_at_best():
    runner, total = HostedEnvironment(Rhythm(), 1), 0.0
    runner.reset(0)
    for action in (0, 1, 0):
        timestep = runner.step(np.array([action]))
        total += float(timestep.reward[0])
    assert (total, bool(timestep.truncated[0])) == (LENGTH, True)
