"""What a host program draws ahead: the same actions as drawn in each turn, in one environment and several."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.loop import lookahead
from agentlab.loop.lookahead import Foresight
from agentlab.loop.policy import Policy
from agentlab.model import build_model
from agentlab.sampler import Sampler, Temperature
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_dqn.samplers import EpsilonGreedy
from agentlab_models.mlp import MLP

CHOICES = {"one choice": (), "two choices": (2,)}


def make_policy(sampler: Sampler, choices: tuple[int, ...] = ()) -> Policy:
    spec = EnvironmentSpec("toy", Array((4,)), Discrete(3, dtype="int32", shape=choices))
    if choices:
        layers = [tf.keras.layers.Dense(6), tf.keras.layers.Reshape((2, 3))]
        model = build_model(tf.keras.Sequential([tf.keras.Input((4,)), *layers]), spec, 3, 0)
    else:
        model = build_model(MLP(hidden_units=(8,)), spec, 3, 0)
    return Policy(model, sampler, spec, seeds.stream(0, "sampler"))


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0, Linear(1.0, 0.0, 3_000)], ids=str)
@pytest.mark.quick("0.0-1-one choice", "0.4-3-two choices", "1.0-3-one choice", "Linear*-1-two choices")
def test_every_turn_gets_the_actions_it_would_draw_by_itself(monkeypatch, choices, rows, epsilon):
    monkeypatch.setattr(lookahead, "TURNS", 16)
    policy = make_policy(EpsilonGreedy(epsilon), choices)
    ahead = Foresight(policy, rows, "graph")
    observations = tf.random.stateless_normal([40, rows, 4], [1, 2])
    asked = 0
    for turn in [*range(35), 20, 21]:  # over the end of what was drawn at once, and back
        policy.steps.assign(1_500 + turn * rows)
        expected = policy.decide(observations[turn]).action
        action, given = ahead.at(1_500 + turn * rows)
        if action is None:
            asked += 1
            action = policy.decide_foreseen(observations[turn], *given)
        assert action.dtype == np.int32
        np.testing.assert_array_equal(action, expected, f"turn {turn}")
    assert (asked == 0) == (epsilon == 1.0)
    if epsilon == 0.4 and rows == 1 and not choices:
        assert 10 < asked < 35  # where it explores, no model was asked


def test_a_sampler_that_always_needs_outputs_foresees_nothing():
    ahead = Foresight(make_policy(Temperature(1.0)), 2, "graph")
    assert ahead.signature == []
    assert ahead.at(0) == (None, ())
