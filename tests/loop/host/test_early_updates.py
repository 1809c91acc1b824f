"""Updates made while environments step: the same bits as after the step, whatever is due and however the step ends."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

import hostile_environments  # noqa: F401 - registers its environments
from agentlab import errors
from agentlab.environment import Environment
from agentlab.foreign.guard import guarded
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.host.gear import HostGear
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy
from agentlab.task import Normalization
from agentlab.trainer import MOST_UPDATES
from agentlab_dqn.r2d2 import R2D2
from agentlab_dqn.trainer import DQN
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import MLP
from agentlab_models.recurrent import GRUBuilder

ROWS, TURNS = 2, 40


class Elsewhere(Environment):
    """Steps another environment between `send` and `receive`, where it may do something else, too."""

    num_environments = ROWS
    is_asynchronous = True

    def __init__(self, inner, during=lambda turn: None):
        self._inner, self._during, self._turn = inner, during, 0

    @property
    def spec(self):
        return self._inner.spec

    def reset(self, seed):
        return self._inner.reset(seed)

    def step(self, action):
        raise AssertionError("send and receive take its place")

    def send(self, action):
        self._sent = action

    def receive(self):
        self._turn += 1
        changed = self._during(self._turn)
        timestep = self._inner.step(self._sent)
        return timestep if changed is None else changed(timestep)


def hosted():
    return HostedEnvironment(CartPole(max_episode_steps=7), ROWS)


def make_gear(environment, execution="graph", memory=None, trainer=DQN, model=None, normalization=None, **settings):
    trainer = trainer(**{"learning_starts": 10, "update_period": 2, "target_update_period": 3, **settings})
    spec = environment.spec
    built = build_model(model or MLP(hidden_units=(8,)), spec, trainer.distribution(spec).num_outputs, 0)
    parts = Parts({"values": [built]}, EpsilonGreedy(0.3), trainer, memory or UniformReplay(50, 4))
    agent = Agent(spec, parts, ROWS, 0, execution, normalization=normalization)
    gear = HostGear(agent, environment, 0)
    gear.start()
    return agent, gear


def state(agent, gear):
    """Everything that a checkpoint holds of the agent."""
    gear.state()
    return {name: variable.numpy() for name, variable in {**agent.variables(), **agent.memory_variables()}.items()}


def compiled_calls(monkeypatch, agent):
    """Returns a list that gets the name of each compiled call that the agent's actor makes."""
    made, actor = [], agent.host_actor()
    call = actor._call

    def noted(name, *values):
        is_late = name == "update_early" and not values[0]  # it does for updates after the step as well
        made.append("update_late" if is_late else name)
        return call(name, *values)

    monkeypatch.setattr(actor, "_call", noted)
    return made


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], name)


CASES = {
    "one at a time": {},
    "several": {"update_period": 1, "updates_per_period": 2},
    "now and then": {"update_period": 6, "memory": lambda: UniformReplay(50, 16)},
    "of three steps": {"num_steps": 3, "memory": lambda: UniformReplay(80, 2)},
    "normalised": {"normalization": Normalization(observations=True)},
    "several normalised": {"normalization": Normalization(observations=True), "update_period": 1},
}


@pytest.mark.parametrize(
    ("case", "execution"), [*((case, "graph") for case in CASES), ("one at a time", "eager"), ("several normalised", "xla")]
)
@pytest.mark.slow
def test_an_update_made_while_the_environments_step_is_the_one_after_the_step(case, execution, monkeypatch):
    settings = {**CASES[case]}
    memory = settings.pop("memory", lambda: UniformReplay(50, 4))
    expected, gear = make_gear(hosted(), execution, memory(), **settings)
    gear.run(TURNS)
    whole = state(expected, gear)

    # In chunks, between which there may be a checkpoint: the state is taken.
    agent, gear = make_gear(Elsewhere(hosted()), execution, memory(), **settings)
    made = compiled_calls(monkeypatch, agent)
    for turns in (1, 20, 0, TURNS - 21):
        gear.run(turns)
        gear.state()
    assert_same(state(agent, gear), whole)
    assert 0 < made.count("update_early") < int(agent.learner.updates.numpy())  # some have to wait for the step


@pytest.mark.slow
def test_sequences_of_a_recurrent_model_are_learned_early(monkeypatch):
    settings = {"trainer": R2D2, "sequence_length": 2, "burn_in": 1, "num_steps": 2}
    runs = []
    for environment in (hosted(), Elsewhere(hosted())):
        agent, gear = make_gear(environment, memory=UniformReplay(60, 2), model=GRUBuilder(units=4), **settings)
        made = compiled_calls(monkeypatch, agent)
        gear.run(TURNS)
        runs.append(state(agent, gear))
    assert_same(*runs)
    assert made.count("update_early") > 0


class Own(DQN):
    """Has an update of its own."""

    def update(self, memory, seed):
        return super().update(memory, seed)


@pytest.mark.parametrize(
    ("most", "settings"),
    [
        (0, {"memory": PrioritizedReplay(50, 4)}),
        (0, {"normalization": Normalization(rewards=True)}),
        (0, {"trainer": Own}),
        (1, {"normalization": Normalization(observations=True)}),
        (MOST_UPDATES, {}),
    ],
    ids=["priorities", "normalised rewards", "an update of its own", "normalised observations", "neither"],
)
def test_what_depends_on_the_step_in_any_case_waits_for_it(most, settings):
    agent, _ = make_gear(Elsewhere(hosted()), **settings)
    assert agent.learner.most_early() == most


@pytest.mark.slow
def test_processes_give_the_bits_of_one_process(monkeypatch):
    runs = []
    for vectorization in ("sync", "async"):
        environment = GymnasiumEnvironment("CartPole-v1", ROWS, vectorization)
        agent, gear = make_gear(environment)
        made = compiled_calls(monkeypatch, agent)
        gear.run(TURNS)
        runs.append(state(agent, gear))
        gear.close()
        assert ("update_early" in made) == (vectorization == "async")
    assert_same(*runs)


def test_where_resets_take_a_step_of_their_own_nothing_is_learned_early():
    environment = GymnasiumEnvironment("CartPole-v1", ROWS, "async", "next_step")
    assert not guarded(environment).is_asynchronous
    environment.close()


# ---- how a step ends -------------------------------------------------------------------------------------------------------


def raises(error, at=20):
    def during(turn):
        if turn == at:
            raise error

    return during


@pytest.mark.slow
def test_a_step_that_fails_after_updates_were_made_is_the_environments_fault():
    agent, gear = make_gear(Elsewhere(hosted(), raises(RuntimeError("the motor is on fire"))))
    with pytest.raises(errors.EnvironmentFault, match="failed at vector step 20: it raised RuntimeError: the motor is on fire"):
        gear.run(TURNS)
    assert int(agent.learner.updates.numpy()) > 0


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ("raise", "vector step 20: row 0 raised RuntimeError: the motor is on fire"),
        ("die", "vector step 20: the worker processes of row 0, 1 have died, with exit code -9"),
        ("hang", r"vector step 20: the worker processes of row 0, 1 have not answered for 0\.5 seconds"),
    ],
)
@pytest.mark.slow
def test_workers_that_fail_while_the_agent_learns_are_told_of_as_ever(way, sentence, monkeypatch):
    arguments = {"way": way, "at": 20}
    environment = GymnasiumEnvironment("Hostile-v0", ROWS, "async", arguments=arguments, timeout=0.5)
    agent, gear = make_gear(environment)
    made = compiled_calls(monkeypatch, agent)
    with pytest.raises(errors.EnvironmentFault, match=sentence):
        gear.run(TURNS)
    assert "update_early" in made
    gear.close()
    assert not any(link.process.is_alive() for link in environment._vector.links)


@pytest.mark.slow
def test_rows_that_do_not_act_after_all_are_the_environments_fault():
    def only_first(timestep):
        return attrs.evolve(timestep, acted=np.arange(ROWS) == 0)

    _, gear = make_gear(Elsewhere(hosted(), lambda turn: only_first if turn > 10 else None))
    with pytest.raises(errors.EnvironmentFault, match=r"row 1 did not act.*'is_asynchronous'"):
        gear.run(TURNS)


@pytest.mark.slow
def test_ctrl_c_while_learning_leaves_workers_that_can_be_closed(monkeypatch, ctrl_c):
    environment = GymnasiumEnvironment("CartPole-v1", ROWS, "async")
    agent, gear = make_gear(environment, learning_starts=1_000)
    gear.run(2)
    monkeypatch.setattr(agent.host_actor(), "learn_early", lambda: (ctrl_c(), tf.constant(0)))
    with pytest.raises(KeyboardInterrupt):
        gear.run(1)
    gear.close()
    assert not any(link.process.is_alive() for link in environment._vector.links)
