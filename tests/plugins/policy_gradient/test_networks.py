"""Networks, states and spaces: free deviations, masks, mappings, images, models that carry a state, both gears."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import seeds
from agentlab.configuration import changed
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.model import ModelBuilder, RecurrentModel
from agentlab.runs.composition import build_models
from agentlab.sampler import Stochastic
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary, MultiDiscrete
from agentlab_envs.control.cartpole import CartPole
from agentlab_memories.rollout import Rollout
from agentlab_policy_gradient.ppo import PPO
from agentlab_policy_gradient.tasks import ppo_cartpole

SMALL = changed(ppo_cartpole, {"model": {"hidden_units": [8]}})
SETTINGS = {"rollout_steps": 8, "num_epochs": 2, "num_minibatches": 2}


@attrs.frozen
class Anything(DeviceEnvironment):
    """Shows and takes what it is told to, and pays for large numbers and late choices; every fourth step ends an episode.

    Attributes:
        observation: what is shown, random.
        action: what is taken.
    """

    observation: object
    action: object

    @property
    def spec(self):
        return EnvironmentSpec("anything", self.observation, self.action, 4)

    def initial(self, seed, batch):
        return tf.tile(seeds.at(1, 0)[None], [batch, 1]) + tf.range(batch, dtype=tf.int64)[:, None]

    def transition(self, state, action, seed):
        sums = [
            tf.reduce_sum(tf.reshape(tf.cast(leaf, tf.float32), [leaf.shape[0], -1]), 1) for leaf in tf.nest.flatten(action)
        ]
        return state + 1, tf.add_n(sums), tf.zeros_like(state[:, 0], tf.bool), ()

    def observe(self, state):
        def values_of(space):
            whole = tf.reshape(state[:, 0] % 2, [-1] + [1] * len(space.shape))
            return tf.cast(tf.broadcast_to(whole, [state.shape[0], *space.shape]), space.dtype)

        if isinstance(self.observation, dict):
            masked = {name: values_of(space) for name, space in self.observation.items()}
            return {**masked, **({"action_mask": self._mask(state)} if "action_mask" in masked else {})}
        return values_of(self.observation)

    def _mask(self, state):
        return tf.tile(tf.constant([[1, 0, 1]], tf.int8), [state.shape[0], 1])


def agent_of(environment, gear=DeviceGear, turns=32, rows=4, task=SMALL, execution="graph", **settings):
    """Returns an agent that has learned for a few updates."""
    trainer = PPO(**{**SETTINGS, **settings})
    models = build_models(task, 0, environment.spec, trainer)
    agent = Agent(environment.spec, Parts(models, Stochastic(), trainer, Rollout()), rows, 0, execution, turns * rows)
    running = gear(agent, environment if gear is DeviceGear else HostedEnvironment(environment, rows), 0)
    running.start()
    before = [weight.numpy() for weight in agent.model.trainable_variables]
    running.run(turns)
    moved = [np.any(old != new.numpy()) for old, new in zip(before, agent.model.trainable_variables, strict=True)]
    assert all(moved)
    assert all(np.isfinite(weight.numpy()).all() for weight in agent.model.weights)
    return agent


PLANE = Array((2,))
SPACES = {
    "one choice": (PLANE, Discrete(3)),
    "several choices": (PLANE, MultiDiscrete((2, 3))),
    "bits": (PLANE, MultiBinary((3,))),
    "numbers": (PLANE, Array((2,))),
    "bounded numbers": (PLANE, Array((2,), minimum=[-1.0, 0.0], maximum=[1.0, np.inf])),
    "a mapping": (PLANE, {"gear": Discrete(3), "steer": Array((2,), minimum=-1.0, maximum=1.0)}),
    "seeing a mapping": ({"at": PLANE, "of": Discrete(4)}, Discrete(3)),
    "a mask": ({"at": PLANE, "action_mask": MultiBinary((3,))}, Discrete(3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("shared_torso", [False, True])
def test_any_space_is_learned_from(name, shared_torso):
    agent_of(Anything(*SPACES[name]), shared_torso=shared_torso)


@pytest.mark.slow
def test_images_are_learned_from():
    image = Array((10, 10, 2), "uint8", minimum=0, maximum=1)
    model = {"model": {"name": "nature-cnn", "convolutions": [[4, 3, 1]], "hidden_units": [8]}}
    agent_of(Anything(image, Discrete(3)), task=changed(ppo_cartpole, model))


@pytest.mark.slow
def test_actions_that_a_mask_forbids_are_never_learned_from():
    agent = agent_of(Anything(*SPACES["a mask"]), entropy_weight=0.1)
    before = build_models(SMALL, 0, agent.spec, PPO())["policy"][0].get_weights()
    moved = [np.abs(old - new) for old, new in zip(before, agent.model.get_weights(), strict=True)]
    assert moved[2][:, 1].max() == moved[3][1] == 0.0  # kernel and bias of the second action
    assert moved[2][:, [0, 2]].max() > 0.0


ARM = Anything(PLANE, Array((2,), minimum=-2.0, maximum=2.0))
OBSERVED = np.float32([[0.0, 0.0], [1.0, 1.0], [3.0, -2.0]])


@pytest.mark.slow
def test_a_free_deviation_is_a_trained_number_of_each_element():
    agent = agent_of(ARM, squashed=False)
    outputs = agent.model(OBSERVED).numpy()
    np.testing.assert_allclose(agent.act(OBSERVED), np.clip(2.0 * outputs[:, :2], -2.0, 2.0), rtol=1e-6)
    assert (outputs[:, 2:] == outputs[0, 2:]).all()
    assert (outputs[0, 2:] != 0.0).all()
    assert (outputs[1, :2] != outputs[2, :2]).all()


@pytest.mark.slow
def test_a_deviation_that_depends_on_the_state():
    outputs = agent_of(ARM, state_dependent_deviation=True).model(OBSERVED).numpy()
    assert (outputs[1, 2:] != outputs[2, 2:]).all()


@pytest.mark.parametrize("squashed", [False, True])
def test_the_initial_deviation_is_in_units_of_the_bounds(squashed):
    policy = PPO(initial_deviation=0.1, squashed=squashed).distribution(ARM.spec).of(tf.zeros([20_000, 4]))
    drawn = policy.sample(seeds.at(0, 0)).numpy()
    assert drawn.std() == pytest.approx(0.2, rel=0.05)  # of bounds at -2 and 2


# ---- models that carry a state ---------------------------------------------------------------------------------------------


@attrs.frozen
class Recall(DeviceEnvironment):
    """Shows one of two symbols, then nothing; the second action earns 1 if it names the symbol. So do the two steps after."""

    @property
    def spec(self):
        return EnvironmentSpec("recall", Array((2,)), Discrete(2), 4)

    def initial(self, seed, batch):
        return tf.stack([seeds.integers(seed, [batch], 2), tf.zeros([batch], tf.int64)], axis=1)  # symbol, steps

    def transition(self, state, action, seed):
        symbol, steps = tf.unstack(state, axis=1)
        reward = tf.cast((steps % 2 == 1) & tf.equal(action, symbol), tf.float32)
        drawn = tf.where(steps % 2 == 1, seeds.integers(seed, tf.shape(symbol), 2), symbol)
        return tf.stack([drawn, steps + 1], axis=1), reward, tf.zeros_like(symbol, tf.bool), ()

    def observe(self, state):
        return tf.where(state[:, 1:] % 2 == 0, tf.one_hot(state[:, 0], 2), 0.0)


class LastSeen(RecurrentModel):
    """Sees the present observation and the last one, by way of a trained matrix."""

    def __init__(self, num_outputs):
        super().__init__()
        self.memory = keras.layers.Dense(4, use_bias=False)
        self.head = keras.layers.Dense(num_outputs)

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 4])

    def call(self, observation, state, training=False):
        return self.head(tf.concat([observation, state], axis=1)), self.memory(observation)


class LastSeenBuilder(ModelBuilder):
    def build(self, spec, num_outputs):
        return LastSeen(num_outputs)


def recalling(gear=DeviceGear, turns=1_500, environment=None, **settings):
    environment = environment or Recall()
    trainer = PPO(
        **{"rollout_steps": 8, "num_minibatches": 2, "learning_rate": 0.02, "discount": 0.5, "shared_torso": True, **settings}
    )
    models = build_models(SMALL, 0, environment.spec, trainer, LastSeenBuilder())
    agent = Agent(environment.spec, Parts(models, Stochastic(), trainer, Rollout()), 16, 0, "graph", turns * 16)
    running = gear(agent, environment if gear is DeviceGear else HostedEnvironment(environment, 16), 0)
    running.start()
    running.run(turns)
    return agent, running.report()["return_mean"]


@pytest.mark.slow
@pytest.mark.parametrize("sequence_length", [None, 2])
def test_a_model_with_a_state_learns_to_recall(sequence_length):
    _, returns = recalling(sequence_length=sequence_length)
    assert returns > 1.5  # of 2, over all of training; by chance 1


@pytest.mark.slow
def test_a_state_is_of_no_use_through_sequences_of_one_step():
    """Then no gradient reaches what writes it; the read-out of random writing is all that is learned."""
    agent, _ = recalling(turns=64, sequence_length=1)
    before = build_models(SMALL, 0, agent.spec, PPO(shared_torso=True), LastSeenBuilder())["policy"][0].memory.get_weights()
    np.testing.assert_array_equal(agent.model.memory.get_weights()[0], before[0])


@pytest.mark.slow
def test_a_free_deviation_of_a_model_with_a_state():
    environment = Anything(PLANE, Array((1,), minimum=-1.0, maximum=1.0))
    agent, _ = recalling(turns=32, environment=environment)
    outputs, state = agent.model(OBSERVED, agent.model.initial_state(3))
    assert outputs.shape == (3, 3)
    assert state.shape == (3, 4)
    assert (outputs[:, 1] == outputs[0, 1]).numpy().all()
    assert float(outputs[0, 1]) != 0.0


# ---- gears, executions, length ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_gears_learn_the_same_weights():
    on_device, on_host = (agent_of(CartPole(), gear, turns=16).model.get_weights() for gear in (DeviceGear, HostGear))
    for one, other in zip(on_device, on_host, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["eager", "xla"])
def test_executions_learn_the_same_weights(execution):
    one, other = (agent_of(CartPole(), turns=16, execution=kind).model.get_weights() for kind in ("graph", execution))
    for weights, others in zip(one, other, strict=True):
        np.testing.assert_allclose(weights, others, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_long_rollout_has_as_little_to_compile_as_a_short_one():
    def operations(length):
        trainer = PPO(rollout_steps=length)
        models = build_models(SMALL, 0, CartPole().spec, trainer)
        agent = Agent(CartPole().spec, Parts(models, Stochastic(), trainer, Rollout()), 4, 0, "graph", 10**6)
        agent.learner.prepare()
        graph = tf.function(agent.learner.update, autograph=False).get_concrete_function().graph
        inner = [function.graph for function in graph._functions.values() if hasattr(function, "graph")]
        return sum(len(part.get_operations()) for part in [graph, *inner])

    short, long = operations(16), operations(2_048)
    assert long - short < 0.2 * short  # of sums over 1, 2, 4, ... steps: some operations for each doubling


@pytest.mark.slow
def test_schedules_span_the_budget_whatever_the_epochs(tmp_path):
    """The rate, the clip and the entropy's weight reach their ends with the last update."""
    linear = {"kind": "linear", "initial": 1.0, "final": 0.0}
    changes = {
        "model": {"hidden_units": [4]},
        "trainer": {**SETTINGS, "learning_rate": {**linear, "initial": 1e-3}, "clip": linear, "entropy_weight": linear},
        "steps": 800,
        "num_environments": 5,
        "evaluation": {"episodes": 1},
        "execution": "graph",
    }
    run = agentlab.run("ppo-cartpole", changes=changes, run_dir=tmp_path / "run")
    trainer = run.agent.trainer
    steps = int(trainer.acting.optimizer_steps)
    assert steps == 800 // 40 * 4
    assert float(trainer._clip(steps)) == float(trainer.entropy_weight_now()) == 0.0
    assert float(trainer._clip(steps // 4)) == pytest.approx(0.75)
