"""The decision transformer: the return to come is what is left of the target, in training what was recorded."""

import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.loop.perception import Perception
from agentlab.program import cli
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Inputs
from agentlab_models.decision_transformer import DecisionTransformer
from recorded_sets import write_random

SPEC = Perception(EnvironmentSpec("shapes", Array((2,)), Discrete(3)), Inputs(True, True)).spec
SMALL = {"units": 8, "layers": 1, "heads": 1, "context": 3}


def model(**settings):
    return build_model(DecisionTransformer(**SMALL, **settings), SPEC, 3, 0)


def seen(rows, length, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "observation": tf.constant(generator.normal(size=(rows, length, 2)), tf.float32),
        "previous_action": tf.constant(generator.integers(0, 3, (rows, length))),
        "previous_reward": tf.constant(generator.normal(size=(rows, length)), tf.float32),
    }


def steps(network, observation, state, length):
    outputs = []
    for step in range(length):
        output, state = network(tf.nest.map_structure(lambda leaf, step=step: leaf[:, step], observation), state)
        outputs.append(output)
    return tf.stack(outputs, axis=1)


@pytest.mark.slow
def test_acting_with_what_is_left_is_as_in_training_with_the_return_to_come():
    network, observation = model(target_return=7.0), seen(2, 5)
    observation["previous_reward"] *= np.float32([0, 1, 1, 1, 1])  # an episode begins
    to_go = 7.0 - np.cumsum(observation["previous_reward"], axis=1)
    acting = steps(network, observation, network.initial_state(2), 5)
    begun = tf.constant([[True, False, False, False, False]] * 2)
    other = model(target_return=0.0)
    other.set_weights(network.get_weights())
    training, state = other.unroll({**observation, "return_to_go": tf.constant(to_go)}, other.initial_state(2), begun)
    np.testing.assert_allclose(acting, training, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state[-1], to_go[:, -1])


@pytest.mark.slow
def test_returns_count_in_units_of_their_scale():
    network, observation = model(target_return=3.0, return_scale=1.0), seen(2, 4)
    generator = np.random.default_rng(1)
    weights = [generator.normal(size=weight.shape, scale=0.3) for weight in network.get_weights()]
    network.set_weights(weights)
    outputs = steps(network, observation, network.initial_state(2), 4).numpy()

    larger = {**observation, "previous_reward": 50.0 * observation["previous_reward"]}
    for target, alike in ((150.0, True), (3.0, False)):
        other = model(target_return=target, return_scale=50.0)
        other.set_weights(weights)
        same = np.allclose(outputs, steps(other, larger, other.initial_state(2), 4), rtol=1e-3, atol=1e-4)
        assert same == alike


@pytest.mark.slow
def test_it_sees_its_last_steps_and_nothing_before():
    network, observation = model(), seen(1, 12)
    outputs = steps(network, observation, network.initial_state(1), 12).numpy()
    changed = {name: leaf.numpy().copy() for name, leaf in observation.items()}
    changed["observation"][0, 2] += 1.0
    others = steps(network, changed, network.initial_state(1), 12).numpy()
    differs = np.abs(outputs - others).max(axis=(0, 2)) > 1e-7
    assert differs.tolist() == [False] * 2 + [True] * 4 + [False] * 6  # one block, which sees its own step and 3 before


def test_without_what_it_did_and_earned_it_is_refused():
    with pytest.raises(errors.UsageError, match=r"Set inputs\.previous_action=true and inputs\.previous_reward=true"):
        DecisionTransformer().build(EnvironmentSpec("shapes", Array((2,)), Discrete(3)), 3)


@pytest.mark.slow
def test_a_run_learns_from_sequences_and_is_asked_for_a_return(tmp_path, capsys):
    path, _ = write_random(tmp_path / "set")
    changes = {
        "environment": {"data": path},
        "model": SMALL,
        "trainer": {"sequence_length": 4, "learning_rate": 1e-2},
        "steps": 200,
        "num_environments": 4,
        "report_period": 20,
        "evaluation": {"episodes": 2, "max_episode_steps": 9},
        "execution": "graph",
    }
    run = agentlab.run("decision-transformer-cartpole", changes=changes, run_dir=tmp_path / "run")
    lines = [line for line in (run.directory / "metrics.jsonl").read_text().splitlines() if "loss" in line]
    assert run.result["updates"] == 200 // (4 * 4)
    assert len(lines) > 2
    assert cli.main(["evaluate", str(run.directory), "--episodes", "1", "--set", "model.target_return=30"]) == 0
    assert "return " in capsys.readouterr().out
