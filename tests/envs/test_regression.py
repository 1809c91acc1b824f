"""Regression: rewards by hand, the handbook's straight line against plain NumPy, and bad input."""

import keras
import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.registry import plugins
from agentlab_envs.data.regression import Regression

INPUTS, TARGETS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[10.0], [20.0]]


def by_numpy(steps, rate):
    """Gradient descent on the mean squared error of y = x w + b, from zeros."""
    x, y = np.array(INPUTS), np.array(TARGETS)
    w, b = np.zeros((3, 1)), np.zeros(1)
    for _ in range(steps):
        error = x @ w + b - y
        w, b = w - rate * x.T @ error, b - rate * error.sum(axis=0)  # of two samples, 2 / 2 = 1
    return w, b


def test_rewards_by_hand():
    environment = HostedEnvironment(Regression(INPUTS, [[10.0, 0.0], [20.0, 1.0]], shuffle=False), 2)
    environment.reset(0)
    timestep = environment.step(np.array([[9.0, 2.0], [20.0, 1.0]], np.float32))
    assert timestep.reward.tolist() == [-(1.0 + 4.0) / 2, 0.0]
    assert timestep.target.tolist() == [[10.0, 0.0], [20.0, 1.0]]
    assert timestep.terminated.all()
    assert timestep.final_observation.tolist() == INPUTS


@pytest.mark.parametrize(
    ("gear", "execution"),
    [
        ("host", "graph"),
        ("device", "graph"),
        ("device", "xla"),
        *(pytest.param(*way, marks=pytest.mark.slow) for way in (("host", "eager"), ("host", "xla"), ("device", "eager"))),
    ],
)
@pytest.mark.quick("device-graph")
def test_a_hundred_steps_give_numpys_numbers(tmp_path, gear, execution):
    run = agentlab.run("linear-regression", changes={"gear": gear, "execution": execution}, run_dir=tmp_path / "run")
    w, b = by_numpy(100, 0.01)
    np.testing.assert_allclose(run.model.get_weights()[0], w, rtol=1e-4)
    np.testing.assert_allclose(run.model.get_weights()[1], b, rtol=1e-4)
    np.testing.assert_allclose(run.model.get_weights()[0].ravel(), [0.407845, 1.191065, 1.974285], atol=2e-5)
    error = np.mean((np.array(INPUTS) @ w + b - np.array(TARGETS)) ** 2)
    assert run.result["evaluation"]["return_mean"] == pytest.approx(-error, rel=1e-3)
    assert run.result["evaluation"]["loss"] == pytest.approx(error, rel=1e-3)
    assert run.result["updates"] == 100


@pytest.mark.slow
def test_keras_fit_gives_the_same_numbers(tmp_path):
    run = agentlab.run("linear-regression", run_dir=tmp_path / "run")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError())
    model.fit(np.tile(INPUTS, (100, 1)), np.tile(TARGETS, (100, 1)), batch_size=2, shuffle=False, verbose=0)
    for ours, theirs in zip(run.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "targets", "sentence"),
    [
        (INPUTS, TARGETS[:1], "'inputs' has 2 samples, 'targets' 1; expected equally many"),
        ([[1.0], [2.0, 3.0]], TARGETS, "'inputs' is not an array of numbers"),
        ([["a"], ["b"]], TARGETS, "'inputs' is not an array of numbers"),
        (INPUTS, [10.0, 20.0], r"'targets' has shape \(2,\); expected finite numbers, \[samples, ...\]"),
        ([[np.nan], [1.0]], TARGETS, "'inputs' has shape .* and values that are not finite"),
    ],
)
def test_bad_arrays_are_told(inputs, targets, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        Regression(inputs, targets)


FLAT = """
from agentlab.sampler import Greedy


class Flat(Greedy):
    def sample(self, distribution, step, seed):
        return super().sample(distribution, step, seed)[..., 0]
"""


def test_an_action_that_does_not_fit_is_told(tmp_path):
    (tmp_path / "flat.py").write_text(FLAT)
    plugins.add_file(tmp_path / "flat.py")
    for changes in ({"sampler": {"name": "flat"}}, {"evaluation": {"sampler": {"name": "flat"}}}):
        with pytest.raises(
            errors.UsageError, match=r"Flat draws actions of shape \(\) from a .*; .* takes a float32 array of shape \(1,\)"
        ):
            agentlab.run("linear-regression", changes=changes, run_dir=tmp_path / "run")
    for name, sentence in (("epsilon-greedy", "has no uniformly random action"), ("temperature", "has no temperature")):
        with pytest.raises(errors.UsageError, match=rf"The distribution Deterministic {sentence}\. Choose "):
            agentlab.run("linear-regression", changes={"sampler": {"name": name}}, run_dir=tmp_path / "run")
    with pytest.raises(errors.UsageError, match="DQN needs discrete actions"):
        agentlab.run("linear-regression", changes={"trainer": {"name": "dqn"}}, run_dir=tmp_path / "run")
