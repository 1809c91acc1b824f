"""DQN learns values that are known by hand, and a planted bug makes it learn others."""

import functools

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy
from agentlab.types import Step
from agentlab_dqn.trainer import DQN
from agentlab_envs.control.identity import Identity
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_memories.ring import Ring
from agentlab_models.mlp import MLP
from two_states import Steps

pytestmark = pytest.mark.slow

DISCOUNT = 0.5


UNENDING = np.array([[0.5, 1.0], [1.5, 2.0]])
ENDING = np.array([[0.0, 0.0], [1.0, 1.0]])


def learned(environment, trainer_class=DQN, gear=DeviceGear, turns=800, rows=8, memory=None, model=None, **settings):
    """Returns the table of action values `[states, actions]` that a model, by default a linear one, has learned."""
    settings = {"learning_rate": 0.04, "update_period": rows, "target_update_period": 20, "learning_starts": 64, **settings}
    trainer = trainer_class(discount=DISCOUNT, huber_delta=None, **settings)
    spec = environment.spec
    values = trainer.distribution(spec)
    num_outputs = values.num_outputs
    layer = keras.layers.Dense(num_outputs, use_bias=False, kernel_initializer="zeros")
    model = build_model(model or keras.Sequential([keras.Input(spec.observation.shape), layer]), spec, num_outputs, 0)
    parts = Parts({"values": [model]}, EpsilonGreedy(1.0), trainer, memory or UniformReplay(2_000, 64))
    agent = Agent(spec, parts, rows, 0, "graph")
    running = gear(agent, environment if gear is DeviceGear else HostedEnvironment(environment, rows), 0)
    running.start()
    running.run(turns)
    return values.of(agent.model(np.eye(spec.observation.shape[0], dtype=np.float32))).preferences.numpy()


def is_close(values, expected, tolerance=0.05):
    return np.abs(values - expected).max() < tolerance


class PastTermination(DQN):
    """Planted bug: the value beyond a termination counts."""

    def loss(self, output, batch, seed):
        return super().loss(output, attrs.evolve(batch, discount=tf.ones_like(batch.discount)), seed)


class NoTargetNetwork(DQN):
    """Planted bug: the next values are the learning network's own."""

    def build(self, setup):
        super().build(setup)
        self.target.output = functools.partial(self.model, training=False)


class WrongAction(DQN):
    """Planted bug: the value of another action is learned."""

    def loss(self, output, batch, seed):
        return super().loss(output, attrs.evolve(batch, action=1 - batch.action), seed)


between = Step.between


def truncation_as_termination(decision, timestep, keep=()):
    """Planted bug: where an episode was cut off, nothing lies beyond."""
    return attrs.evolve(between(decision, timestep, keep), discount=1.0 - tf.cast(timestep.ended, tf.float32))


def first_as_next(decision, timestep, keep=()):
    """Planted bug: the next observation is the one to act on, of a new episode."""
    return attrs.evolve(between(decision, timestep, keep), next_observation=timestep.observation)


ENDS = {
    "unending": (Steps(), UNENDING),
    "cut at once": (Steps(limit=1), UNENDING),
    "cut": (Steps(limit=3), UNENDING),
    "terminating": (Steps(terminates=True), ENDING),
    "both": (Steps(terminates=True, limit=1), ENDING),  # at once: the task ended
}


@pytest.mark.parametrize("ends", ENDS)
def test_values_are_those_by_hand(ends):
    environment, expected = ENDS[ends]
    assert is_close(learned(environment), expected)


@pytest.mark.parametrize("ends", ["cut", pytest.param("both", marks=pytest.mark.slow)])
def test_values_are_those_by_hand_in_the_host_gear(ends):
    environment, expected = ENDS[ends]
    assert is_close(learned(environment, gear=HostGear), expected)


@pytest.mark.parametrize("double", [True, False])
def test_both_kinds_of_targets_learn_the_same(double):
    assert is_close(learned(Steps(limit=2), double=double), UNENDING)


def test_bootstrapping_past_termination_is_found():
    assert is_close(learned(Steps(terminates=True), PastTermination), UNENDING)
    assert not is_close(UNENDING, ENDING)


def test_truncation_taken_for_termination_is_found(monkeypatch):
    monkeypatch.setattr(Step, "between", staticmethod(truncation_as_termination))
    assert is_close(learned(Steps(limit=1)), ENDING)


def test_bootstrapping_from_a_new_episode_is_found(monkeypatch):
    """The mean value m of a start, in either state, is 1/2 + g m = 1; so Q(s, a) = [s = 1] + 1/2."""
    monkeypatch.setattr(Step, "between", staticmethod(first_as_next))
    values = learned(Steps(limit=1))  # from targets that are random now, so never quite still
    assert is_close(values, np.array([[0.5, 0.5], [1.5, 1.5]]), tolerance=0.2)
    assert not is_close(values, UNENDING, tolerance=0.3)


def test_a_wrong_action_is_found():
    assert not is_close(learned(Steps(), WrongAction), UNENDING)


def test_a_missing_target_network_is_found():
    """A target network that never moves keeps its initial values, 0: what is learned is the reward alone."""
    frozen = {"target_update_period": 10**9}
    assert is_close(learned(Steps(), **frozen), ENDING)
    assert is_close(learned(Steps(), NoTargetNetwork, **frozen), UNENDING)


def test_polyak_averaging_moves_the_target_network():
    assert is_close(learned(Steps(), target_update_period=1, target_update_rate=0.05), UNENDING)


CATEGORICAL = {"num_atoms": 13, "minimum_return": -1.0, "maximum_return": 5.0}
FAMILY = {
    "prioritised": {"memory": PrioritizedReplay(2_000, 64, weight_exponent=1.0)},
    "categorical": {**CATEGORICAL, "turns": 1_500},
    "dueling": {"model": MLP(hidden_units=(), dueling=True)},
    "noisy": {"model": MLP(hidden_units=(), noise=0.5), "turns": 1_500, "learning_rate": 0.02},
    "all": {
        "memory": PrioritizedReplay(2_000, 64, weight_exponent=1.0),
        "model": MLP(hidden_units=(16,), dueling=True, noise=0.5),
        "turns": 2_500,
        "learning_rate": 0.01,
        **CATEGORICAL,
    },
}


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_learns_the_same_values(name):
    assert is_close(learned(Steps(limit=3), **FAMILY[name]), UNENDING, tolerance=0.1)


def test_all_of_the_family_learns_the_same_values_in_the_host_gear():
    assert is_close(learned(Steps(limit=3), gear=HostGear, **FAMILY["all"]), UNENDING, tolerance=0.1)


@pytest.mark.parametrize("gear", [DeviceGear, pytest.param(HostGear, marks=pytest.mark.slow)])
def test_the_values_of_two_steps(gear):
    """Of two steps the second action is the behaviour's, either one alike, which n-step returns do not correct for.

    M being the mean over both states of the best value, Q(s, a) = [s = 1] + g a + g^2 M, so M = 1/2 + g + g^2 M = 4/3. Where
    every episode is cut off after one step, the step that is left bootstraps as ever; where it ends, there is the reward alone.
    """
    settings = {"num_steps": 2, "gear": gear}
    assert is_close(learned(Steps(), **settings), np.array([[1 / 3, 5 / 6], [4 / 3, 11 / 6]]))
    assert is_close(learned(Steps(limit=1), **settings), UNENDING)
    assert is_close(learned(Steps(terminates=True), **settings), ENDING)


def test_two_steps_across_a_reset_are_found(monkeypatch):
    """Planted bug: nothing tells the memory that an episode ended."""
    add = Ring.add
    monkeypatch.setattr(
        Ring, "add", lambda ring, step, row: add(ring, attrs.evolve(step, ended=tf.zeros_like(step.ended)), row)
    )
    assert not is_close(learned(Steps(limit=1), num_steps=2), UNENDING, tolerance=0.2)


def test_two_steps_through_other_environments_are_found(monkeypatch):
    """Planted bug: the memory takes all rows for one environment."""
    add = Ring.add
    monkeypatch.setattr(Ring, "add", lambda ring, step, row: add(ring, step, tf.zeros_like(row)))
    assert not is_close(learned(Steps(), num_steps=2), np.array([[1 / 3, 5 / 6], [4 / 3, 11 / 6]]), tolerance=0.2)


def test_the_values_of_identity():
    """Naming the symbol right earns 1 now, and 1 / (1 - g) - 1 from then on, whatever is named."""
    expected = DISCOUNT / (1 - DISCOUNT) + np.eye(4)
    assert is_close(learned(Identity(), turns=1_500), expected)
    assert is_close(learned(Identity(episode_steps=1), turns=1_500), expected)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_of_identity_reaches_the_optimum(tmp_path, seed):
    changes = {
        "environment": {"name": "identity"},
        "model": {"hidden_units": [32]},
        "trainer": {
            "learning_rate": 0.005,
            "discount": 0.5,
            "num_steps": 1,  # so that values are those of the best actions, not of what the sampler draws
            "learning_starts": 200,
            "target_update_period": 50,
            "target_update_rate": 1.0,
        },
        "sampler": {"epsilon": 0.3},
        "num_environments": 8,
        "steps": 12_000,
        "report_period": 6_000,
        "evaluation": {"episodes": 20},
        "execution": "graph",
    }
    run = agentlab.run("dqn", seed, changes, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] == 16.0
    assert run.result["evaluation"]["return_std"] == 0.0
    assert is_close_for_the_best(run.model(np.eye(4, dtype=np.float32)).numpy())


def is_close_for_the_best(values):
    return np.abs(np.diag(values) - 1 / (1 - 0.5)).max() < 0.15
