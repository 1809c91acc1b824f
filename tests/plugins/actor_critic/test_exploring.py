"""The samplers that explore by noise: their statistics, their bounds, and the same draws by every execution."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.distribution import Categorical, SquashedNormal
from agentlab.sampler import Stochastic
from agentlab.schedules import Linear
from agentlab_actor_critic.samplers import NormalNoise
from agentlab_actor_critic.squashed import Squashed

SEED = seeds.at(7, 0)
LOW, HIGH = np.float32([-1.0, -3.0]), np.float32([1.0, 1.0])
NARROW = Squashed(shape=(2,), low=LOW, high=HIGH)
ROWS = 20_000


def middle(rows=ROWS):
    """Returns a policy that takes the middle of the bounds, [0, -1]."""
    return NARROW.of(tf.zeros([rows, 2]))


def step(number):
    return tf.constant(number, tf.int64)


def test_noise_has_its_deviation_and_is_independent():
    noise = (NormalNoise(0.1).sample(middle(), step(0), SEED).numpy() - [0, -1]) / [1, 2]
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=4 * 0.1 / ROWS**0.5)
    np.testing.assert_allclose(noise.std(axis=0), 0.1, rtol=0.03)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / ROWS**0.5
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 4 / ROWS**0.5


def test_noise_stays_within_the_bounds_of_every_element():
    actions = NormalNoise(3.0).sample(middle(), step(0), SEED).numpy()
    np.testing.assert_array_equal(actions.min(axis=0), LOW)
    np.testing.assert_array_equal(actions.max(axis=0), HIGH)


def test_the_deviation_follows_a_schedule():
    sampler = NormalNoise(Linear(0.4, 0.0, 100))
    spread = [np.std(sampler.sample(middle(), step(number), SEED).numpy()[:, 0]) for number in (0, 50, 100)]
    np.testing.assert_allclose(spread, [0.4, 0.2, 0.0], rtol=0.05, atol=1e-6)


@pytest.mark.parametrize(
    "sampler", [NormalNoise(0.0, random_steps=10), Stochastic(random_steps=10)], ids=["noise", "stochastic"]
)
def test_actions_are_uniform_at_first(sampler):
    cold = SquashedNormal(shape=(2,), low=LOW, high=HIGH).of(tf.constant([[0.0, 0.0, -20.0, -20.0]] * ROWS))
    actions = sampler.sample(cold, step(9), SEED).numpy()
    assert (actions >= LOW).all()
    assert (actions <= HIGH).all()
    for element in range(2):
        share, _ = np.histogram(actions[:, element], bins=10, range=(LOW[element], HIGH[element]))
        np.testing.assert_allclose(share / ROWS, 0.1, atol=0.01)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 4 / ROWS**0.5
    np.testing.assert_allclose(sampler.sample(cold, step(10), SEED), [[0, -1]] * ROWS, atol=1e-6)


def test_random_actions_are_the_same_bits_by_every_execution(compiled):
    odd = Squashed(shape=(2,), low=np.float32([-0.1, -1 / 3]), high=np.float32([0.7, 2.9]))
    draw = compiled(lambda: NormalNoise(0.1, random_steps=1).sample(odd.of(tf.zeros([500, 2])), step(0), SEED))
    np.testing.assert_array_equal(draw(), NormalNoise(0.1, random_steps=1).sample(odd.of(tf.zeros([500, 2])), step(0), SEED))


@pytest.mark.parametrize("sampler", [NormalNoise(), Stochastic(random_steps=1)], ids=["noise", "stochastic"])
def test_choices_are_refused(sampler):
    with pytest.raises(errors.UsageError, match="Categorical is not one of numbers within bounds"):
        sampler.sample(Categorical(num_values=3).of(tf.zeros([1, 3])), step(0), SEED)


@pytest.mark.parametrize("wrong", [{"deviation": -0.1}, {"deviation": Linear(0.1, -0.1, 5)}, {"random_steps": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        NormalNoise(**wrong)
