"""What the trainers of policy gradients refuse, in one sentence and before anything is trained."""

import math

import attrs
import keras
import pytest
import tensorflow as tf

import agentlab
from agentlab import AgentlabError, errors
from agentlab.model import RecurrentModel
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_policy_gradient.a2c import A2C
from agentlab_policy_gradient.ppo import PPO
from agentlab_policy_gradient.reinforce import Reinforce
from making import build

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(2))


class Counting(RecurrentModel):
    """Adds up what it is shown."""

    def __init__(self, num_outputs):
        super().__init__()
        self.head = keras.layers.Dense(num_outputs)
        self.head.build((None, 2))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 2])

    def call(self, observation, state, training=False):
        return self.head(observation + state), observation + state


def dense(num_outputs):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(num_outputs)])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"memory": {"name": "replay"}}, "learns from everything since its last update"),
        ({"trainer": {"num_minibatches": 3}}, "256 rows can't be divided into 3 minibatches .* Set trainer.num_minibatches"),
        (
            {"trainer": {"rollout_steps": 1, "num_minibatches": 1}, "num_environments": 1},
            "Each step of the optimizer learns from one of 1 steps, whose advantage can't be normalized",
        ),
        ({"trainer": {"update_period": 64}}, "PPO learns from every 32 steps of each environment"),
        ({"trainer": {"value_weight": 0.5}}, "'value_weight' does nothing with shared_torso=false"),
        ({"trainer": {"shared_torso": True, "value_learning_rate": 0.1}}, "'value_learning_rate' does nothing with shared"),
        ({"trainer": {"squashed": True}}, "squashed=true is for actions that are numbers; those of .* are choices"),
        ({"trainer": {"sequence_length": 8}}, "sequence_length=8 is for models that carry a state"),
        ({"trainer": {"entropy_weight": -0.1}}, "'entropy_weight' must be 0 or greater"),
        ({"trainer": {"clip": {"kind": "linear", "initial": 0.2, "final": -0.1}}}, "'clip' must be 0 or greater"),
        ({"trainer": {"initial_deviation": 0.0}}, "'initial_deviation' must be > 0"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, changes, sentence):
    with pytest.raises(AgentlabError, match=sentence):
        agentlab.run("ppo-cartpole", changes=changes, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("minimum", "maximum"), [(-math.inf, math.inf), (0.0, math.inf), ([-1.0, -1.0], [1.0, math.inf])], ids=str
)
def test_a_squashed_policy_without_bounds(minimum, maximum):
    spec = EnvironmentSpec("arm", Array((2,)), Array((2,), minimum=minimum, maximum=maximum))
    with pytest.raises(errors.UsageError, match=r"needs actions with a lower and an upper bound for every element; .*'arm'"):
        PPO(squashed=True).networks(spec)
    assert PPO().networks(spec)["policy"].num_outputs == 4  # clipped, or plain


def test_bounds_may_differ_from_element_to_element():
    spec = EnvironmentSpec("arm", Array((2,)), Array((2,), minimum=[-1.0, 0.0], maximum=[1.0, 9.0]))
    assert PPO(squashed=True).distribution(spec).high.tolist() == [1.0, 9.0]


@pytest.mark.parametrize("trainer", [A2C(rollout_steps=1, normalize_advantages=True), Reinforce(rollout_steps=1)], ids=str)
def test_the_advantage_of_a_single_step_cannot_be_normalized(trainer):
    with pytest.raises(errors.UsageError, match="learns from one of 1 steps, whose advantage can't be normalized"):
        build(trainer, SPEC, dense(2), dense(1))
    build(attrs.evolve(trainer, normalize_advantages=False), SPEC, dense(2), dense(1))


@pytest.mark.slow
def test_a_gradient_that_is_no_number_names_network_and_update(tmp_path, monkeypatch):
    """Planted: the loss of the values is finite, but its slope is not, from the first update on."""
    monkeypatch.setattr(PPO, "value_loss", lambda self, values, rows: tf.sqrt(0.0 * values))
    changes = {"execution": "graph", "steps": 512, "trainer": {"num_epochs": 1}, "model": {"hidden_units": [4]}}
    sentence = r"by step .*: gradient_norm is nan at update 1, and weights of network 'value' are not finite \(4 of 4, "
    with pytest.raises(errors.TrainingFault, match=sentence):
        agentlab.run("ppo-cartpole", 0, changes, run_dir=tmp_path / "run")


def test_values_of_a_model_that_carries_a_state():
    with pytest.raises(errors.UsageError, match=r"carries a state from step to step, .* Set trainer.shared_torso=true"):
        build(PPO(rollout_steps=4, num_minibatches=1), SPEC, Counting(2), Counting(1), num_environments=2)
    build(PPO(rollout_steps=4, num_minibatches=1), SPEC, Counting(2), dense(1), num_environments=2)


def test_sequences_that_do_not_divide_a_rollout():
    settings = {"rollout_steps": 6, "num_minibatches": 1, "shared_torso": True}
    with pytest.raises(errors.UsageError, match="A rollout of 6 steps can't be divided into sequences of 4"):
        build(PPO(**settings, sequence_length=4), SPEC, Counting(3))
    with pytest.raises(errors.UsageError, match="2 rows can't be divided into 4 minibatches"):  # sequences, of two environments
        build(PPO(**{**settings, "num_minibatches": 4}), SPEC, Counting(3), num_environments=2)
