"""PQN: one update against arithmetic by hand, values that are known by hand, planted bugs, and what it refuses."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, seeds
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.device_gear import DeviceGear
from agentlab.model import RecurrentModel
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary
from agentlab.spec.environment_spec import MASK
from agentlab.testing.checks.updates import Holding
from agentlab.types import Batch
from agentlab_dqn import pqn
from agentlab_dqn.pqn import PQN
from agentlab_memories.rollout import Rollout
from making import build
from two_states import Steps

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(2))
SEED = seeds.at(7, 0)
MODEL = np.float32([[1, 2], [3, 5]])  # values: [1, 0] -> [1, 2]; [0, 1] -> [3, 5]; [1, 1] -> [4, 7]
A, B, C = [1, 0], [0, 1], [1, 1]  # observations

# One environment of four steps, the second truncated, the last terminated; with g = 0.5 and lambda = 0.5 the returns are
#   4: 1                     3: 2 + 0.5 * (0.5 * 7 + 0.5 * 1) = 4
#   2: 3 + 0.5 * 5 = 5.5     1: 1 + 0.5 * (0.5 * 2 + 0.5 * 5.5) = 2.875
# and the values of the actions taken are 1, 2, 5 and 4, so the errors are 1.875, 3.5, -1 and -3.
ERRORS = np.float32([1.875, 3.5, -1, -3])
ROLLOUT = Batch(
    observation=np.float32([[A, A, B, C]]),
    action=np.int64([[0, 1, 1, 0]]),
    reward=np.float32([[1, 3, 2, 1]]),
    discount=np.float32([[1, 1, 1, 0]]),
    next_observation=np.float32([[A, B, C, A]]),
    ended=np.array([[False, True, False, True]]),
    acted=np.ones([1, 4], bool),
    weight=np.ones([1, 4], np.float32),
)


def linear(weights=MODEL):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([weights])
    return model


SETTINGS = {"optimizer": "sgd", "learning_rate": 1.0, "max_gradient_norm": None, "discount": 0.5, "trace_decay": 0.5}
ONCE = {"rollout_steps": 4, "num_epochs": 1, "num_minibatches": 1}


def updated(compiled, rollout=ROLLOUT):
    """Returns the weights after an update, and the metrics."""
    model, memory = linear(), Holding()
    trainer = build(PQN(**SETTINGS, **ONCE), SPEC, model)

    def update():
        memory.batch = tf.nest.map_structure(tf.constant, rollout)
        return trainer.update(memory, SEED).metrics

    metrics = compiled(update)()
    return model.get_weights()[0], {name: float(value) for name, value in metrics.items()}


@pytest.mark.slow
def test_one_update_by_hand(compiled):
    weights, metrics = updated(compiled)
    # The slope of half a squared error is minus the error times the observation, for the output of the action taken.
    gradient = -np.float32([[1.875 - 3, 3.5], [-3, -1]]) / 4
    np.testing.assert_allclose(weights, MODEL - gradient, rtol=1e-6)
    assert metrics["loss"] == pytest.approx(np.mean(ERRORS**2) / 2)
    assert metrics["gradient_norm"] == pytest.approx(np.sqrt((gradient**2).sum()), rel=1e-5)
    assert metrics["q_mean"] == 3.0
    assert metrics["error"] == pytest.approx(np.abs(ERRORS).mean())


def test_rows_that_were_only_reset_weigh_nothing():
    rollout = attrs.evolve(ROLLOUT, weight=np.float32([[0, 2, 2, 0]]))
    weights, _ = updated(lambda function: function, rollout)
    np.testing.assert_allclose(weights, MODEL + np.float32([[0, 3.5], [0, -1]]) / 2, rtol=1e-6)


def test_forbidden_actions_have_no_value():
    """The first action is the only one allowed after the first step: the return there is 1 + 0.5 * (0.5 * 1 + 0.5 * 5.5)."""
    spec = EnvironmentSpec("plane", {"seen": Array((2,)), MASK: MultiBinary((2,))}, Discrete(2))
    masks = np.ones([1, 4, 2], np.int8)
    beyond = masks.copy()
    beyond[0, 0, 1] = 0
    rollout = attrs.evolve(
        ROLLOUT,
        observation={"seen": ROLLOUT.observation, MASK: masks},
        next_observation={"seen": ROLLOUT.next_observation, MASK: beyond},
    )
    memory = Holding()
    memory.batch = tf.nest.map_structure(tf.constant, rollout)
    metrics = build(PQN(**SETTINGS, **ONCE), spec, linear()).update(memory, SEED).metrics
    assert float(metrics["error"]) == pytest.approx((1.625 + 3.5 + 1 + 3) / 4)


def learned_values(**settings):
    """Returns the values `[state, action]` that are learned, by two thirds greedy actions."""
    spec, rows, turns = Steps(limit=3).spec, 16, 480
    model = build_model(linear(np.zeros([2, 2], np.float32)), spec, 2, 0)
    settings = {"rollout_steps": 8, "discount": 0.5, "num_minibatches": 1, "learning_rate": Linear(0.1, 1e-3), **settings}
    agent = Agent(
        spec, Parts({"values": [model]}, EpsilonGreedy(1 / 3), PQN(**settings), Rollout()), rows, 0, "graph", turns * rows
    )
    gear = DeviceGear(agent, Steps(limit=3), 0)
    gear.start()
    gear.run(turns)
    return agent.trainer.acting(np.eye(2, dtype=np.float32)).numpy()


@pytest.mark.slow
def test_values_known_by_hand_are_learned():
    """With lambda 0, which asks nothing of how it explored."""
    np.testing.assert_allclose(learned_values(trace_decay=0.0), [[0.5, 1.0], [1.5, 2.0]], atol=0.05)


@pytest.mark.slow
def test_planted_bug_truncated_steps_that_do_not_bootstrap(monkeypatch):
    right = pqn.lambda_returns

    def wrong(reward, discount, ended, next_values, factor, trace_decay):
        return right(reward, tf.where(ended, 0.0, discount), ended, next_values, factor, trace_decay)

    monkeypatch.setattr(pqn, "lambda_returns", wrong)
    assert np.abs(learned_values(trace_decay=0.0) - [[0.5, 1.0], [1.5, 2.0]]).max() > 0.2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trainer": {"num_minibatches": 3}}, "1024 rows can't be divided into 3 minibatches .* Set trainer.num_minibatches"),
        ({"memory": {"name": "replay"}}, "learns from everything since its last update"),
        ({"environment": {"name": "pendulum"}}, "PQN needs discrete actions; environment 'pendulum' takes a"),
        ({"trainer": {"update_period": 64}}, "PQN learns from every 32 steps of each environment"),
    ],
)
def test_what_it_refuses(tmp_path, changes, sentence):
    with pytest.raises(errors.AgentlabError, match=sentence):
        agentlab.run("pqn-cartpole", changes=changes, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Counting(RecurrentModel):
    """Adds up what it is shown."""

    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(2)
        self.head.build((None, 2))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 2])

    def call(self, observation, state, training=False):
        return self.head(observation + state), observation + state


def test_a_model_that_carries_a_state_is_refused():
    with pytest.raises(errors.UsageError, match=r"PQN values single observations; model .* carries a state from step to step"):
        build(PQN(**ONCE), SPEC, Counting())
