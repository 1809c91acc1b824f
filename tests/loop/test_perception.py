"""The previous action and reward as inputs: by hand, and the same by every way that an agent acts."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.evaluation import Evaluator
from agentlab.loop.host.gear import HostGear
from agentlab.loop.perception import Perception
from agentlab.runs.model_building import build_model
from agentlab.sampler import Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary
from agentlab.spec.vocabulary import Characters
from agentlab.task import Inputs
from agentlab.types import TimeStep
from agentlab_dqn.trainer import DQN
from agentlab_memories.replay import UniformReplay

BOTH = Inputs(previous_action=True, previous_reward=True)
LENGTH, BEST = 5, 1 + 2 + 1 + 2 + 1
ROWS = 4


@attrs.frozen
class Follow(DeviceEnvironment):
    """The right action is the last one plus what it earned, modulo 3, 0 at first; it earns 1 and 2 in turn, others nothing."""

    @property
    def spec(self):
        return EnvironmentSpec("follow", Array((1,)), Discrete(3), LENGTH)

    def initial(self, seed, batch):
        return tf.zeros([batch], tf.int64), tf.zeros([batch], tf.int64)

    def transition(self, state, action, seed):
        right, step = state
        earned = tf.where(tf.equal(action, right), 1 + step % 2, 0)
        return ((action + earned) % 3, step + 1), tf.cast(earned, tf.float32), tf.zeros_like(right, tf.bool), ()

    def observe(self, state):
        return tf.zeros([state[0].shape[0], 1])


class Follower(keras.Model):
    """Values 1 the action that is right in `Follow`, and others 0."""

    def __init__(self):
        super().__init__(name="follower")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.built = True

    def call(self, inputs, training=False):
        earned = tf.cast(tf.round(inputs["previous_reward"]), tf.int64)
        return self.scale * tf.one_hot((inputs["previous_action"] + earned) % 3, 3)


def follower(inputs=BOTH):
    spec = Follow().spec
    seen = Perception(spec, inputs).spec
    trainer = DQN(learning_rate=0.0, learning_starts=0, update_period=ROWS)
    models = {"values": [build_model(Follower(), seen, 3, 0)]}
    memory = UniformReplay(capacity=100, batch_size=8)
    return Agent(spec, Parts(models, Greedy(), trainer, memory), ROWS, 0, "graph", inputs=inputs)


def hosted(rows=ROWS):
    return HostedEnvironment(Follow(), rows)


# ---- by hand -------------------------------------------------------------------------------------------------------------


SPEC = EnvironmentSpec("e", {"x": Array((2,)), "action_mask": MultiBinary((3,))}, Discrete(3))


def observations(first):
    return {"x": np.float32([[first, 0], [first, 1]]), "action_mask": np.ones((2, 3), np.int8)}


def as_lists(nest):
    return tf.nest.map_structure(lambda leaf: np.asarray(leaf).tolist(), nest)


@pytest.mark.parametrize("convert", [np.asarray, tf.constant], ids=["arrays", "tensors"])
def test_previous_actions_and_rewards_are_those_of_the_same_episode(convert):
    perception = Perception(SPEC, BOTH)
    first = perception.first(observations(0))
    assert as_lists((first["previous_action"], first["previous_reward"])) == ([0, 0], [0.0, 0.0])

    # The second row's episode ends: what it led to belongs to that episode, the next observation to another.
    flags = (np.array([False, True]), np.array([False, False]))
    step = TimeStep(observations(1), np.float32([0.5, 2]), *flags, observations(2), acted=np.array([True, True]))
    seen = perception.after(tf.nest.map_structure(convert, step), convert(np.int64([2, 1])))
    assert as_lists(seen.observation["previous_action"]) == [2, 0]
    assert as_lists(seen.observation["previous_reward"]) == [0.5, 0.0]
    assert as_lists(seen.final_observation["previous_action"]) == [2, 1]
    assert as_lists(seen.final_observation["previous_reward"]) == [0.5, 2.0]
    assert as_lists(seen.observation["observation"]) == [[1, 0], [1, 1]]  # the only entry but the mask
    assert as_lists(seen.observation["action_mask"]) == [[1, 1, 1]] * 2


def test_specs():
    seen = Perception(SPEC, Inputs(previous_reward=True)).spec
    assert seen.observation == {"observation": Array((2,)), "previous_reward": Array(()), "action_mask": MultiBinary((3,))}
    assert Perception(SPEC, Inputs()).spec is SPEC
    with pytest.raises(errors.UsageError, match="environment 'letters' shows text"):
        Perception(attrs.evolve(SPEC, name="letters", vocabulary=Characters("ab")), BOTH)


# ---- by every way of acting ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DeviceGear, HostGear])
def test_both_gears_carry_them(kind):
    agent = follower()
    gear = kind(agent, Follow() if kind is DeviceGear else hosted(), 0)
    gear.start()
    gear.run(2 * LENGTH)
    assert gear.report()["return_mean"] == BEST
    agent.variables()  # settles what waits

    # What is learned from has them too: those of a step's own action with what it led to.
    batch = agent.learner.memory.sample(tf.constant([0, 1], tf.int64))
    np.testing.assert_array_equal(batch.next_observation["previous_action"], batch.action)
    np.testing.assert_array_equal(batch.next_observation["previous_reward"], batch.reward)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DeviceGear, HostGear])
def test_both_gears_resume_within_episodes(kind):
    gears = [kind(follower(), Follow() if kind is DeviceGear else hosted(), 0) for _ in range(2)]
    for gear in gears:
        gear.start()
    gears[0].run(3)
    state = gears[0].state()
    added = [name for name in state["loop"] if name.startswith(("observation", "previous"))]
    assert len(added) >= 2
    assert all(name in gears[0].ranges()["loop"] for name in added)
    gears[1].restore(state)
    gears[1].run(LENGTH - 3)
    assert gears[1].report()["return_mean"] == BEST


def test_evaluation_carries_them():
    evaluator = Evaluator(hosted(2), follower().actor(Greedy(), 1), 3, 0)
    assert evaluator.run()["return_mean"] == BEST


def total(environment, choose, rows=ROWS):
    """Returns the rewards of two episodes of each row."""
    timestep, sum_of_rewards = environment.reset(0), 0.0
    for _ in range(2 * LENGTH):
        timestep = environment.step(choose(timestep))
        sum_of_rewards += timestep.reward.sum()
    return sum_of_rewards


def test_a_loop_of_your_own_carries_them():
    agent = follower()
    assert total(hosted(), agent.step) == 2 * ROWS * BEST


def test_act_carries_them():
    agent = follower()

    def choose(timestep):
        return agent.act(timestep.observation, timestep.begun, timestep.reward)

    assert total(hosted(), choose) == 2 * ROWS * BEST
    assert total(hosted(1), choose, 1) == 2 * BEST  # other rows, where all begin


def test_without_them_such_a_model_is_refused():
    with pytest.raises(errors.UsageError, match="Model 'follower' refused an observation of 'follow'"):
        follower(Inputs())


# ---- what `act` refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"begun": [True, False, True]}, r"'act' got begun='\[True, False, True\]'; expected a bool, or an array of 4"),
        ({"reward": float("nan")}, "'act' got reward='nan'; expected a finite number"),
        ({"begun": 0.5}, "expected a bool"),
        ({"observation": np.zeros((3, 1), np.float32)}, "remembers 4 running episodes, and got observations of 3"),
    ],
)
def test_act_refuses_what_does_not_fit(arguments, sentence):
    agent = follower()
    observation = np.zeros((ROWS, 1), np.float32)
    agent.act(observation)
    with pytest.raises(errors.UsageError, match=sentence):
        agent.act(**{"observation": observation, **arguments})


def test_a_model_with_a_state_carries_it_from_call_to_call():
    changes = {"model": {"name": "lstm", "units": 4}, "trainer": {"shared_torso": True}, "num_environments": 1}
    agent = agentlab.make_agent("ppo-cartpole", changes=changes)
    network, observations_of_all = (
        agent.policy.policy.network,
        np.random.default_rng(0).normal(size=(4, 2, 4)).astype(np.float32),
    )
    state, begun = network.initial_state(2), np.array([[True, True], [False, False], [False, True], [False, False]])
    for observation, begins in zip(observations_of_all, begun, strict=True):
        output, state = network(observation, network.restart(state, tf.constant(begins)))
        assert agent.act(observation, begins).tolist() == output.numpy()[:, :2].argmax(axis=1).tolist()
    np.testing.assert_array_equal(agent.policy._episodes._state[0][0], state[0][0])


# ---- new episodes in a run that is resumed -------------------------------------------------------------------------------


def test_a_resumed_run_in_new_episodes_has_a_new_state(monkeypatch):
    """An environment that keeps its state to itself begins again: neither the model's state nor a return continues in it."""
    changes = {"model": {"name": "lstm", "units": 4}, "trainer": {"shared_torso": True}, "gear": "host"}
    agent = agentlab.make_agent("ppo-cartpole", changes=changes)
    cut = []
    monkeypatch.setattr(type(agent.learner.memory), "cut", lambda self, row: cut.append(row.numpy().tolist()))
    gear = HostGear(agent, HostedEnvironment(agentlab.registry.plugins.load("environment", "cartpole")(), 8), 0)
    gear.start()
    gear.run(2)
    state = gear.state()
    assert all(np.abs(leaf).max() > 0 for name, leaf in state["loop"].items() if name.startswith("state/"))
    gear.restore({"loop": state["loop"]})
    assert all(np.abs(leaf).max() == 0 for name, leaf in gear.state()["loop"].items() if name.startswith("state/"))
    assert cut == [list(range(8))]
