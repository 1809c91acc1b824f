"""The loop body in both gears, in chunks of any size, by every execution: one result."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.runs import composition
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy
from agentlab.schedules import Linear
from agentlab_dqn.trainer import DQN
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.control.identity import Identity
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import MLP

RAINBOW = {"num_steps": 3, "num_atoms": 5, "memory": PrioritizedReplay, "head": {"dueling": True, "noise": 0.5}}
ALGORITHMS = {"dqn": {}, "rainbow": RAINBOW}


def make_agent(environment, rows=4, seed=0, execution="graph", memory=UniformReplay, head=None, **settings):
    trainer = DQN(**{"learning_starts": 20, "update_period": 8, "target_update_period": 3, **settings})
    num_outputs = trainer.distribution(environment.spec).num_outputs
    model = build_model(MLP(hidden_units=(16,), **(head or {})), environment.spec, num_outputs, seed)
    sampler = EpsilonGreedy(Linear(1.0, 0.1, 200))
    return Agent(environment.spec, Parts({"values": [model]}, sampler, trainer, memory(64, 16)), rows, seed, execution)


def make_gear(environment, gear="device", seed=0, **options):
    agent = make_agent(environment, seed=seed, **options)
    if gear == "device":
        made = DeviceGear(agent, environment, seed)
    else:
        made = HostGear(agent, HostedEnvironment(environment, agent.num_environments), seed)
    made.start()
    return agent, made


def state(agent):
    return {name: variable.numpy() for name, variable in {**agent.variables(), **agent.memory_variables()}.items()}


def after(gear, turns):
    """Returns the statistics after `turns` more."""
    gear.run(turns)
    return gear.report()


def trained(chunks, environment=None, **options):
    agent, gear = make_gear(environment or CartPole(), **options)
    episodes = sum(after(gear, turns)["episodes"] for turns in chunks)
    return state(agent), episodes


@functools.cache
def compiled_once(gear, execution, algorithm="dqn"):
    """Returns an agent, its gear in CartPole, and what they were like at the start."""
    agent, running = make_gear(CartPole(), gear, execution=execution, **ALGORITHMS[algorithm])
    return agent, running, state(agent), running.state()


def from_the_start(chunks, *way):
    """Returns what `trained` does, by a gear that may have run before."""
    agent, gear, variables, groups = compiled_once(*way)
    for name, variable in {**agent.variables(), **agent.memory_variables()}.items():
        variable.assign(variables[name])
    gear.restore(groups)
    episodes = sum(after(gear, turns)["episodes"] for turns in chunks)
    return state(agent), episodes


EVERY_WAY = [(gear, execution) for gear in ("device", "host") for execution in ("eager", "graph", "xla")]


RAINBOW_BY_XLA = pytest.param(("device", "xla", "rainbow"), marks=pytest.mark.slow)


@pytest.mark.parametrize("way", [*EVERY_WAY, ("host", "graph", "rainbow"), RAINBOW_BY_XLA], ids="-".join)
@pytest.mark.slow
def test_the_size_of_chunks_changes_no_bit(way):
    whole, episodes = from_the_start([30], *way)
    parts, episodes_in_parts = from_the_start([1, 2, 20, 0, 7], *way)
    assert episodes == episodes_in_parts
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name], name)


@pytest.mark.slow
def test_a_gear_from_the_start_again_does_what_a_new_one_does():
    again, episodes = from_the_start([30], "device", "graph")
    new, episodes_of_new = trained([30])
    assert episodes == episodes_of_new
    for name, value in new.items():
        np.testing.assert_array_equal(value, again[name], name)


ENVIRONMENTS = {"ends": CartPole(), "limit": CartPole(max_episode_steps=5), "target": Identity()}
PERIODS = [{}, {"update_period": 1}, {"update_period": 4, "updates_per_period": 3}]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.slow
def test_both_gears_do_the_same(environment):
    assert_both_gears_do_the_same(ENVIRONMENTS[environment], {})


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "settings"), [("limit", PERIODS[1]), ("ends", PERIODS[2]), ("target", PERIODS[2])])
def test_both_gears_do_the_same_whenever_updates_are_due(environment, settings):
    assert_both_gears_do_the_same(ENVIRONMENTS[environment], settings)


@pytest.mark.slow
@pytest.mark.parametrize("period", [8, 40])
def test_both_gears_do_the_same_with_all_improvements(period):
    assert_both_gears_do_the_same(CartPole(max_episode_steps=5), {**RAINBOW, "update_period": period})


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"update_period": 1}, {"update_period": 8, "num_steps": 3}], ids=str)
def test_both_gears_do_the_same_in_one_environment(settings):
    assert_both_gears_do_the_same(CartPole(max_episode_steps=5), {"rows": 1, **settings})


def assert_both_gears_do_the_same(environment, settings):
    device, device_gear = make_gear(environment, "device", **settings)
    host, host_gear = make_gear(environment, "host", **settings)
    first, second = after(device_gear, 40), after(host_gear, 40)
    assert first == pytest.approx(second)
    theirs = state(host)
    assert device.learner.updates.numpy() == host.learner.updates.numpy() > 0
    for name, value in state(device).items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in EVERY_WAY if way[1] != "graph"] + [RAINBOW_BY_XLA], ids="-".join)
def test_every_execution_does_the_same(way):
    gear, _, *algorithm = way
    expected, _ = from_the_start([40], gear, "graph", *algorithm)
    variables, _ = from_the_start([40], *way)
    for name, value in expected.items():
        np.testing.assert_allclose(value, variables[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("execution", ["graph", "xla"])
@pytest.mark.slow
def test_a_seed_determines_everything(execution):
    one, _ = trained([40], execution=execution)
    again, _ = from_the_start([40], "device", execution)
    assert all((one[name] == again[name]).all() for name in one)


@pytest.mark.slow
def test_another_seed_changes_everything():
    one, _ = from_the_start([40], "device", "graph")
    other, _ = trained([40], seed=6)
    assert any((one[name] != other[name]).any() for name in one if name.startswith("model/"))


@pytest.mark.slow
def test_evaluating_and_acting_between_chunks_changes_no_bit():
    plain, _ = from_the_start([20, 20], "device", "graph")
    agent, gear = make_gear(CartPole())
    gear.run(20)
    agent.act(np.zeros((3, 4), np.float32))
    agent.learner.means.collect()
    gear.run(20)
    watched = state(agent)
    assert all((plain[name] == watched[name]).all() for name in plain if name != "acts" and not name.startswith("means/"))


@pytest.mark.parametrize("execution", ["graph", "xla"])
@pytest.mark.quick("graph")
def test_the_loop_is_traced_once(execution):
    for turns in (1, 5, 30, 2):
        from_the_start([turns], "device", execution)
    assert compiled_once("device", execution)[1].trace_count() == 1


@pytest.mark.slow
def test_the_counts_of_steps_updates_and_episodes():
    agent, gear = make_gear(CartPole(max_episode_steps=3))
    summary = after(gear, 9)  # 36 steps in 4 rows
    assert agent.learner.steps.numpy() == 36
    assert agent.learner.updates.numpy() == 2  # at 24 and 32; at 8 and 16 learning had not started
    assert summary == {"episodes": 12, "return_mean": 3.0, "episode_length_mean": 3.0}
    assert after(gear, 1) == {"episodes": 0, "return_mean": None, "episode_length_mean": None}


class Branching(Identity):
    """An environment whose author wrote Python control flow on tensors."""

    def transition(self, state, action, seed):
        following, reward, terminated, target = super().transition(state, action, seed)
        if tf.reduce_sum(reward) > 1.5:
            reward = reward * 2.0
        count = tf.constant(0)
        while count < 3:
            count += 1
        return following, reward + tf.cast(count, tf.float32), terminated, target


@functools.cache
def branching_eagerly():
    return trained([12], Branching(), execution="eager")[0]


@pytest.mark.parametrize("execution", ["graph", "xla"])
@pytest.mark.slow
def test_python_control_flow_in_a_plugin_compiles(execution):
    expected = branching_eagerly()
    variables, _ = trained([12], Branching(), execution=execution)
    np.testing.assert_allclose(expected["ring/stored/reward"], variables["ring/stored/reward"])
    assert variables["ring/stored/reward"][:48].min() >= 3.0
    assert variables["ring/stored/reward"].max() == 5.0


UPDATING_OFTEN = {  # an update at every turn
    "dqn": {"learning_starts": 5, "update_period": 1},
    "sac": {"learning_starts": 5, "update_period": 1},
    "td3": {"learning_starts": 5, "update_period": 1},
    "a2c": {"rollout_steps": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("task", UPDATING_OFTEN)
def test_an_update_comes_to_the_same_bits_alone_and_with_a_decision(task):
    """What is left of a chunk's last turn is an update alone; elsewhere it is one call with the next decision."""

    def weights(turns_at_once):
        changes = {"execution": "graph", "model": {"hidden_units": [16, 16]}, "trainer": UPDATING_OFTEN[task]}
        if task in ("sac", "td3"):
            changes["environment"] = {"id": "Pendulum-v1"}
        resolved = composition.resolved(task, changes)
        environment = composition.build_training_environment(resolved)
        gear = HostGear(composition.build_agent(resolved, 0, environment.spec), environment, 0)
        gear.start()
        for _ in range(40 // turns_at_once):
            gear.run(turns_at_once)
        gear.close()
        return {name: variable.numpy() for name, variable in gear._learner.variables().items()}

    alone, together = weights(1), weights(20)
    for name, array in alone.items():
        np.testing.assert_array_equal(array, together[name], err_msg=name)


@pytest.mark.parametrize(
    ("task", "changes", "at_every_turn"),
    [
        ("ppo-cartpole", {}, False),
        ("dqn-cartpole", {"trainer": {"update_period": 64}}, False),
        ("dqn-cartpole", {}, True),  # an update is due at every turn
    ],
)
@pytest.mark.slow
def test_turns_without_an_update_compute_nothing_of_one(task, changes, at_every_turn, monkeypatch):
    """XLA copies what a branch may change, and computes what is the same in all rounds of a loop even before none."""
    resolved = composition.resolved(task, {**changes, "execution": "graph"})
    environment = composition.build_training_environment(resolved)
    agent = composition.build_agent(resolved, 0, environment.spec)
    graphs = {}

    def traced(name, function):
        def call(*arguments):
            graphs[name] = tf.compat.v1.get_default_graph()
            return function(*arguments)

        return call

    for name in ("decide", "update"):
        monkeypatch.setattr(agent.learner, name, traced(name, getattr(agent.learner, name)))
    DeviceGear(agent, environment, 0).start()

    # The graph of a loop's body lies within those of the loops around it.
    graph = graphs["update"]
    while graph is not None and graph is not graphs["decide"]:
        graph = getattr(graph, "outer_graph", None)
    assert (graph is not None) == at_every_turn
