"""Agents that normalise: both gears, own loops, executions, evaluation, checkpoints, and learning that needs it."""

import functools
import json

import attrs
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, seeds
from agentlab.algorithms.normalization import ObservationScale, RewardScale
from agentlab.environment import DeviceEnvironment
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.evaluation import Evaluator
from agentlab.loop.host.gear import HostGear
from agentlab.registry import plugins
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy, Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Normalization
from agentlab.types import TimeStep
from agentlab_dqn.trainer import DQN
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import MLP
from paths import ROOT

NORMALIZATION = {"observations": True, "rewards": True}
SMALL = {
    "environment": {"name": "cartpole"},
    "model": {"hidden_units": [8]},
    "memory": {"capacity": 200, "batch_size": 8},
    "trainer": {"learning_starts": 20, "update_period": 8},
    "steps": 240,
    "num_environments": 2,
    "report_period": 100,
    "checkpoint_period": 70,
    "evaluation": {"episodes": 1},
    "execution": "graph",
    "normalization": NORMALIZATION,
}


@attrs.frozen
class FarOff(DeviceEnvironment):
    """Shows a number of size 0.01 around 1,000; the action that names its sign earns 10,000. Episodes have 16 steps."""

    @property
    def spec(self):
        return EnvironmentSpec("far off", Array((1,)), Discrete(2), 16)

    def initial(self, seed, batch):
        return seeds.uniform(seed, [batch, 1], -0.01, 0.01)

    def transition(self, state, action, seed):
        right = tf.equal(action, tf.cast(state[:, 0] > 0.0, tf.int64))
        following = seeds.uniform(seed, state.shape, -0.01, 0.01)
        return following, tf.where(right, 10_000.0, 0.0), tf.zeros_like(right), ()

    def observe(self, state):
        return 1_000.0 + state


def make_agent(rows=8, execution="graph", seed=0, **settings):
    spec = FarOff().spec
    trainer = DQN(**{"learning_rate": 3e-3, "learning_starts": 64, "update_period": 8, "discount": 0.5, **settings})
    parts = Parts(
        {"values": [build_model(MLP(hidden_units=(16,)), spec, 2, seed)]},
        EpsilonGreedy(0.3), trainer, UniformReplay(2_000, 64),
    )  # fmt: skip
    return Agent(spec, parts, rows, seed, execution, normalization=Normalization(**NORMALIZATION))


def trained(turns, gear=DeviceGear, **settings):
    agent = make_agent(**settings)
    environment = FarOff() if gear is DeviceGear else HostedEnvironment(FarOff(), agent.num_environments)
    running = gear(agent, environment, 0)
    running.start()
    running.run(turns)
    return agent


def arrays(agent, prefix="normalizer/"):
    return {name: variable.numpy() for name, variable in agent.variables().items() if name.startswith(prefix)}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def mean_return(agent):
    """Returns how many of 16 signs an agent names, of 20 episodes."""
    actor = agent.actor(Greedy(), 0)
    return Evaluator(HostedEnvironment(FarOff(), 20), actor, 20, 0).run()["return_mean"] / 10_000.0


@functools.cache
def learned():
    return trained(800)


@pytest.mark.slow
def test_it_learns_what_a_network_can_not_see_otherwise():
    assert mean_return(learned()) > 15.0


@pytest.mark.slow
def test_statistics_that_never_reach_the_networks_are_found(monkeypatch):
    """Planted bug."""
    monkeypatch.setattr(ObservationScale, "advance", lambda scale: None)
    assert mean_return(trained(800)) < 12.0


@pytest.mark.slow
def test_networks_that_see_other_observations_than_they_learned_from_are_found(monkeypatch):
    """Planted bug: the policy doesn't normalise."""
    agent = learned()
    monkeypatch.setattr(ObservationScale, "__call__", lambda scale, values: values)
    assert mean_return(agent) < 12.0


@pytest.mark.slow
def test_rewards_that_are_not_scaled_are_found(monkeypatch):
    """Planted bug: values of some 20,000 are far beyond what so few updates reach; normalised they are below 10."""
    errors_of = [float(trained(200).learner.means.collect()["error"])]
    monkeypatch.setattr(RewardScale, "__call__", lambda scale, reward: reward)
    errors_of.append(float(trained(200).learner.means.collect()["error"]))
    assert errors_of[0] < 5.0
    assert errors_of[1] > 1_000.0


BEFORE_LEARNING = {"rows": 3, "learning_starts": 300}


@functools.cache
def statistics_on_the_host():
    """Returns the statistics of 50 turns in the host gear."""
    return arrays(trained(50, HostGear, **BEFORE_LEARNING))


@pytest.mark.slow
def test_both_gears_have_the_same_statistics():
    """The same steps were taken: nothing was learned before step 64, and the draws are the same."""
    device, host = arrays(trained(50, **BEFORE_LEARNING)), statistics_on_the_host()
    assert int(device["normalizer/observations/statistics/count"]) == 150
    for name in ("normalizer/observations/statistics/mean", "normalizer/rewards/statistics/squares"):
        assert np.all(device[name] != 0.0)
    # What waits on the host is counted when it is handed over, which reading the variables makes it be.
    assert_same(device, host)


@pytest.mark.slow
def test_both_gears_learn_alike():
    device, host = arrays(trained(60, rows=2), ""), arrays(trained(60, HostGear, rows=2), "")
    for name, array in device.items():
        np.testing.assert_allclose(array, host[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_statistics_have_the_same_bits_in_every_execution():
    """Before anything is learned, when actions can't differ by a bit of the network's."""
    graph, xla, eager = (
        arrays(trained(20, learning_starts=1_000, execution=execution)) for execution in ("graph", "xla", "eager")
    )
    assert_same(graph, xla)
    assert_same(graph, eager)


@pytest.mark.slow
def test_an_own_loop_has_the_statistics_of_the_host_gear():
    agent, environment = make_agent(**BEFORE_LEARNING), HostedEnvironment(FarOff(), 3)
    timestep = environment.reset(seeds.host_seed(0, "environment"))
    for _ in range(50):
        timestep = environment.step(agent.step(timestep))
    agent.step(timestep)
    assert_same(arrays(agent), statistics_on_the_host())


def test_acting_and_judging_change_nothing():
    agent = learned()
    before = arrays(agent)
    agent.act(np.array([1_000.005], np.float32))
    mean_return(agent)
    assert_same(before, arrays(agent))


@pytest.mark.slow
def test_the_loop_is_traced_once():
    agent = make_agent()
    running = DeviceGear(agent, FarOff(), 0)
    running.start()
    for turns in (3, 20, 7):
        running.run(turns)
    assert running.trace_count() == 1


def run(path, **changes):
    return agentlab.run("dqn", 3, {**SMALL, **changes}, run_dir=path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Returns a run, which several tests look at."""
    return run(tmp_path_factory.mktemp("finished") / "run")


def loaded(agent):
    return {name: variable.numpy() for name, variable in agent.variables().items()}


@pytest.mark.slow
@pytest.mark.parametrize("gear", ["device", "host"])
def test_a_run_that_is_resumed_has_the_same_bits(tmp_path, gear):
    whole = run(tmp_path / "whole", gear=gear, checkpoint_period=0, report_period=240)
    asked = iter([False, True] + [False] * 1_000)
    with pytest.raises(errors.Interrupted):
        agentlab.run("dqn", 3, {**SMALL, "gear": gear}, run_dir=tmp_path / "parts", stop=lambda: next(asked))
    parts = agentlab.resume(tmp_path / "parts")
    left, right = loaded(whole.agent), loaded(parts.agent)
    assert_same(*({name: array for name, array in state.items() if not name.startswith("means/")} for state in (left, right)))
    assert int(left["normalizer/observations/statistics/count"]) == 240


@pytest.mark.slow
def test_a_loaded_agent_uses_the_statistics_and_returns_are_raw(finished):
    again = agentlab.load(finished.directory)
    assert_same(arrays(finished.agent), arrays(again))
    observation = np.array([0.3, -1.0, 0.05, 0.8], np.float32)
    np.testing.assert_array_equal(again.model(observation[None]), finished.model(observation[None]))
    assert again.act(observation) == finished.agent.act(observation)
    lines = [json.loads(line) for line in (finished.directory / "metrics.jsonl").read_text().splitlines()]
    assert any(line["return_mean"] for line in lines)
    for line in lines:
        assert line["return_mean"] == line["episode_length_mean"]  # a reward of 1 a step


@pytest.mark.slow
def test_a_new_run_can_begin_with_the_statistics_of_another(finished, tmp_path):
    second = agentlab.run(
        "dqn", 4, {**SMALL, "steps": 10, "trainer": {"learning_starts": 100}}, run_dir=tmp_path / "second",
        init_from=finished.directory,
    )  # fmt: skip
    before, after = arrays(finished.agent), arrays(second.agent)
    for name in ("mean", "deviation"):
        np.testing.assert_array_equal(after[f"normalizer/observations/{name}"], before[f"normalizer/observations/{name}"])
    for what in ("observations", "rewards"):
        count = f"normalizer/{what}/statistics/count"
        assert int(after[count]) == int(before[count]) + 10


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_weights_for_other_observations_are_refused(tmp_path, first):
    begun = run(tmp_path / "first", normalization={"observations": first})
    with pytest.raises(errors.UsageError, match=f"normalization.observations={'true' if first else 'false'}"):
        agentlab.run(
            "dqn", 4, {**SMALL, "normalization": {"observations": not first}}, run_dir=tmp_path / "second",
            init_from=begun.directory,
        )  # fmt: skip


def test_a_checkpoint_with_impossible_statistics_is_refused(finished):
    from safetensors.numpy import load_file

    from agentlab.system.ranges import complaint

    ranges = finished.agent.ranges()
    impossible = {"observations/statistics/squares": -1, "rewards/statistics/count": -1, "observations/deviation": 0}
    for name, wrong in impossible.items():
        array = finished.agent.variables()[f"normalizer/{name}"].numpy()
        assert "expected" in complaint(np.full_like(array, wrong), ranges[f"normalizer/{name}"])
    held = load_file(next((finished.directory / "checkpoints").glob("step-240")) / "agent.safetensors")
    assert {name for name in held if name.startswith("normalizer/")} == arrays(finished.agent).keys()


EXAMPLES = {
    "ppo": ("ppo-cartpole", {"trainer": {"rollout_steps": 16}, "num_environments": 4, "steps": 192}),
    "sac": ("sac-pendulum", {"trainer": {"learning_starts": 20}, "memory": {"batch_size": 8}, "steps": 40}),
    "recurrent_ppo": ("recurrent-ppo-cartpole", {"trainer": {"rollout_steps": 8}, "num_environments": 4, "steps": 96}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gear"), [("ppo", "device"), ("sac", "host"), ("recurrent_ppo", "device")])
def test_examples_learn_from_what_is_normalised(tmp_path, name, gear):
    file = ROOT / "examples" / "algorithms" / f"{name}.py"
    if file.exists():  # other algorithms are installed
        plugins.add_file(str(file))
    task, changes = EXAMPLES[name]
    usual = {"gear": gear, "normalization": NORMALIZATION, "evaluation": {"episodes": 1}, "execution": "graph"}
    finished = agentlab.run(task, 0, {**changes, **usual}, run_dir=tmp_path / "run")
    state = arrays(finished.agent)
    steps = finished.agent.learner.steps.numpy()
    assert int(state["normalizer/observations/statistics/count"]) == steps == changes["steps"]
    assert np.all(state["normalizer/observations/deviation"] != 1.0)
    assert float(state["normalizer/rewards/statistics/squares"]) > 0.0


@pytest.mark.slow
def test_ppo_sees_its_steps_as_the_policy_saw_them(tmp_path):
    """The probability ratio of the first minibatch of every update is 1: nothing moved between acting and learning."""
    task, changes = EXAMPLES["ppo"]
    usual = {"normalization": NORMALIZATION, "evaluation": {"episodes": 1}, "execution": "eager", "gear": "host"}
    ratios = []
    cls = plugins.load("trainer", "ppo")
    original = cls.update

    def update(trainer, memory, seed):
        rollout = memory.sample(seed)
        rows = tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [-1, *leaf.shape[2:]]), rollout)
        outputs = (trainer.acting(trainer.spec.see(rows.observation)), rows.output)
        now, then = (trainer.policy_of(output, rows.observation).log_probability(rows.action) for output in outputs)
        ratios.append(np.exp(now - then))
        return original(trainer, memory, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, "update", update)
        agentlab.run(task, 0, {**changes, **usual}, run_dir=tmp_path / "run")
    assert len(ratios) == 3
    np.testing.assert_allclose(ratios, 1.0, atol=1e-5)


@pytest.mark.slow
def test_a_row_that_was_reset_does_not_count_in_an_own_loop():
    agent = make_agent(rows=1)
    agent.step(TimeStep.begin(np.array([1_000.0], np.float32)))
    agent.step(TimeStep(np.array([1_001.0], np.float32), 1.0, True, False, np.array([1_001.0], np.float32)))
    agent.step(TimeStep.begin(np.array([1_005.0], np.float32)))
    state = arrays(agent)
    assert int(state["normalizer/observations/statistics/count"]) == 1
    assert state["normalizer/observations/statistics/mean"].tolist() == [1_000.0]
