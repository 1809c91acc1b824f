"""What a host program draws ahead: the same actions as drawn in each turn, in one environment and several."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab.distribution import ActionValues
from agentlab.loop.host import lookahead
from agentlab.loop.host.lookahead import Lookahead
from agentlab.loop.learner import Learner
from agentlab.loop.policy import Policy
from agentlab.memory import Request
from agentlab.model import RecurrentModel, as_network
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy, Sampler, Temperature
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Trainer
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import MLP

CHOICES = {"one choice": (), "two choices": (2,)}
OBSERVATION = Array((4,))


class Kept(Trainer):
    """Asks for what it is told to."""

    keep: tuple[str, ...] = ()

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(keep=self.keep)


def make_learner(sampler: Sampler, rows: int, choices: tuple[int, ...] = (), *, model=None, mask=False, keep=()) -> Learner:
    observation = {"seen": OBSERVATION, "action_mask": Array((3,), "bool")} if mask else OBSERVATION
    spec = EnvironmentSpec("toy", observation, Discrete(3, dtype="int32", shape=choices))
    if model is None and choices:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), keras.layers.Reshape((2, 3))])
    network = as_network(build_model(model or MLP(hidden_units=(8,)), spec, 3, 0))
    policy = Policy(network, ActionValues(num_values=3), sampler, spec, explores=True)
    trainer = Kept()
    trainer.keep = keep
    return Learner(policy, trainer, UniformReplay(10), rows, 0)


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0, Linear(1.0, 0.0, 3_000)], ids=str)
@pytest.mark.slow
def test_every_turn_gets_the_actions_it_would_draw_by_itself(monkeypatch, choices, rows, epsilon):
    monkeypatch.setattr(lookahead, "TURNS", 16)
    learner = make_learner(EpsilonGreedy(epsilon), rows, choices)
    ahead = Lookahead(learner, "graph")
    observations = tf.random.stateless_normal([40, rows, 4], [1, 2])
    asked = 0
    for turn in [*range(35), 20, 21]:  # over the end of what was drawn at once, and back
        step = tf.constant(1_500 + turn * rows, tf.int64)
        expected = learner.decide_at(observations[turn], (), step).action
        action, (given_step, *explored) = ahead.at(int(step))
        assert given_step == step
        if action is None:
            asked += 1
            seed = learner.policy_seed(step)
            action = learner.policy.decide_given(observations[turn], explored[0] if explored else None, seed).numpy()
        assert action.dtype == np.int32
        np.testing.assert_array_equal(action, expected, f"turn {turn}")
    assert (asked == 0) == (epsilon == 1.0)
    if epsilon == 0.4 and rows == 1 and not choices:
        assert 10 < asked < 35  # where it explores, no model was asked


class Counting(RecurrentModel):
    """Its state counts the steps of an episode, and is its output's first number."""

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 1])

    def call(self, observation, state, training=False):
        return tf.concat([state, tf.zeros([tf.shape(state)[0], 2])], axis=1), state + 1.0


NOTHING = {
    "a sampler that always needs outputs": (Temperature(1.0), {}, "graph"),
    "eagerly": (EpsilonGreedy(0.4), {}, "eager"),
    "a mask, which is not known before": (EpsilonGreedy(0.4), {"mask": True}, "graph"),
    "a model whose state every turn changes": (EpsilonGreedy(0.4), {"model": Counting()}, "graph"),
    "a trainer that wants to know the outputs": (EpsilonGreedy(0.4), {"keep": ("output",)}, "graph"),
}


@pytest.mark.parametrize(("sampler", "settings", "execution"), NOTHING.values(), ids=NOTHING)
def test_where_every_turn_needs_the_model_nothing_is_drawn_ahead(sampler, settings, execution):
    ahead = Lookahead(make_learner(sampler, 2, **settings), execution)
    assert not ahead.is_active
    assert ahead.signature == [tf.TensorSpec([], tf.int64)]
    assert ahead.at(7) == (None, (7,))
