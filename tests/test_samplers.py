"""Samplers: how often each action is taken, one independent draw per row, by every execution."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds, settings
from agentlab.distribution import ActionValues, Categorical, Normal
from agentlab.sampler import Correlated, EpsilonGreedy, Greedy, Stochastic, Temperature
from agentlab.schedules import Constant, Exponential, Linear

ROWS = 100_000
OUTPUT = [1.0, 2.0, 0.0]
KEY = seeds.stream(0, "sampler")


def sample(sampler, output, step=0, compiled=lambda function: function):
    values = ActionValues(num_values=np.shape(output)[-1])
    draw = compiled(lambda output, step, seed: sampler.sample(values.of(output), step, seed))
    return draw(tf.constant(output, tf.float32), tf.constant(step, tf.int64), seeds.at(KEY, step)).numpy()


def rows_of(output, rows=ROWS):
    return np.tile(np.float32(output), (rows, 1))


def softmax(values):
    powers = np.exp(np.float64(values))
    return powers / powers.sum()


@pytest.mark.parametrize("sampler", [Greedy(), EpsilonGreedy(0.0)], ids=str)
def test_the_largest_output_wins_and_of_equal_ones_the_first(sampler):
    output = [[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [0.0, 7.0, 7.0], [-1.0, -2.0, -1.0]]
    action = sample(sampler, output)
    assert action.tolist() == [1, 0, 1, 0]
    assert action.dtype == np.int64


@pytest.mark.parametrize(
    ("epsilon", "probabilities"),
    [(0.0, [0.0, 1.0, 0.0]), (0.3, [0.1, 0.8, 0.1]), (1.0, [1 / 3, 1 / 3, 1 / 3])],
)
def test_epsilon_greedy_frequencies(assert_frequencies, epsilon, probabilities):
    assert_frequencies(sample(EpsilonGreedy(epsilon), rows_of(OUTPUT)), probabilities)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_temperature_frequencies_are_the_softmax(assert_frequencies, temperature):
    action = sample(Temperature(temperature), rows_of(OUTPUT))
    assert_frequencies(action, softmax(np.array(OUTPUT) / temperature))


@pytest.mark.slow
def test_frequencies_by_every_execution(assert_frequencies, compiled):
    assert_frequencies(sample(Temperature(2.0), rows_of(OUTPUT), compiled=compiled), softmax(np.array(OUTPUT) / 2))
    assert_frequencies(sample(EpsilonGreedy(0.3), rows_of(OUTPUT), compiled=compiled), [0.1, 0.8, 0.1])


@pytest.mark.slow
def test_epsilon_greedy_draws_the_same_by_every_execution(compiled):
    sampler, output = EpsilonGreedy(0.5), rows_of(OUTPUT, 1000)
    np.testing.assert_array_equal(sample(sampler, output, compiled=compiled), sample(sampler, output))


@pytest.mark.parametrize("sampler", [EpsilonGreedy(1.0), Temperature(1.0)], ids=["epsilon-greedy", "temperature"])
def test_rows_and_steps_are_drawn_independently(assert_frequencies, sampler):
    now, later = (sample(sampler, rows_of([0.0, 0.0, 0.0]), step) for step in (0, 1))
    ninths = [1 / 9] * 9
    assert_frequencies(now[:-1:2] * 3 + now[1::2], ninths)  # neighbouring rows
    assert_frequencies(now * 3 + later, ninths)


def test_exploring_and_choosing_are_independent(assert_frequencies):
    actions = sample(EpsilonGreedy(0.1), rows_of([1.0, 0.0, 0.0, 0.0]))
    assert_frequencies(actions, [0.925, 0.025, 0.025, 0.025])


@pytest.mark.parametrize("sampler", [EpsilonGreedy(1.0), Temperature(1.0)], ids=["epsilon-greedy", "temperature"])
def test_each_row_is_drawn_from_its_own_output(sampler):
    likely = [[1000.0, 0.0], [0.0, 1000.0]] * 50
    action = sample(sampler, likely)
    if isinstance(sampler, Temperature):
        assert action.tolist() == [0, 1] * 50
    else:
        assert 20 < action.sum() < 80


@pytest.mark.parametrize("schedule", [Linear(1.0, 0.0, 10), Linear(0.5, 0.0, 10)], ids=str)
def test_an_epsilon_schedule_begins_and_ends(assert_frequencies, schedule):
    sampler, start = EpsilonGreedy(schedule), schedule.initial
    assert_frequencies(sample(sampler, rows_of([1.0, 0.0]), 0), [1 - start / 2, start / 2])
    assert_frequencies(sample(sampler, rows_of([1.0, 0.0]), 5), [1 - start / 4, start / 4])
    for step in (10, 11, 10**6):
        assert not sample(sampler, rows_of([1.0, 0.0]), step).any()


def test_a_temperature_schedule_begins_and_ends(assert_frequencies):
    sampler = Temperature(Exponential(4.0, 0.25, 10))
    for step, temperature in [(0, 4.0), (5, 1.0), (10, 0.25), (1000, 0.25)]:
        assert_frequencies(sample(sampler, rows_of(OUTPUT), step), softmax(np.array(OUTPUT) / temperature))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (EpsilonGreedy, {"epsilon": -0.1}),
        (EpsilonGreedy, {"epsilon": 1.1}),
        (EpsilonGreedy, {"epsilon": float("nan")}),
        (EpsilonGreedy, {"epsilon": {"initial": 2.0, "final": 0.0, "steps": 10}}),
        (EpsilonGreedy, {"epsilon": {"kind": "constant", "value": 3.0}}),
        (Temperature, {"temperature": -1.0}),
        (Temperature, {"temperature": float("nan")}),
        (Temperature, {"temperature": float("inf")}),
        (Temperature, {"temperature": {"initial": 1.0, "final": -0.1, "steps": 10}}),
    ],
)
def test_impossible_settings_are_refused(kind, values):
    (name,) = values
    with pytest.raises(errors.UsageError, match=f"Wrong setting of the sampler: '{name}' must be"):
        settings.build(kind, values, "the sampler")


def test_defaults_are_possible():
    assert EpsilonGreedy().epsilon == Linear(1.0, 0.05, 10_000)
    assert EpsilonGreedy(Constant(0.5)).epsilon == Constant(0.5)
    assert Temperature().temperature == 1.0


def test_epsilon_greedy_makes_each_of_several_choices_on_its_own(compiled, assert_frequencies):
    output = tf.tile([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]], [ROWS, 1, 1])
    values = ActionValues(num_values=3)
    draw = compiled(lambda output: EpsilonGreedy(0.3).sample(values.of(output), tf.constant(0, tf.int64), seeds.at(1, 0)))
    drawn = draw(output).numpy()
    assert drawn.shape == (ROWS, 2)
    assert_frequencies(drawn[:, 0], [0.1, 0.8, 0.1])
    assert_frequencies(drawn[:, 1], [0.8, 0.1, 0.1])


def test_stochastic_draws_from_the_distribution_as_it_is(assert_frequencies, compiled):
    assert_frequencies(sample(Stochastic(), rows_of(OUTPUT), compiled=compiled), softmax(OUTPUT))


MASK = [True, False, True, False]


@pytest.mark.parametrize(
    ("sampler", "probabilities"),
    [
        (Greedy(), [1, 0, 0, 0]),
        (EpsilonGreedy(0.5), [0.75, 0, 0.25, 0]),
        (EpsilonGreedy(1.0), [0.5, 0, 0.5, 0]),
        (Temperature(1.0), [0.75, 0, 0.25, 0]),
        (Stochastic(), [0.75, 0, 0.25, 0]),
        (Temperature(1.0, top_k=3), [0.75, 0, 0.25, 0]),
        (Temperature(1.0, top_p=0.9), [0.75, 0, 0.25, 0]),
    ],
    ids=str,
)
def test_what_a_mask_forbids_is_never_chosen(assert_frequencies, compiled, sampler, probabilities):
    output = rows_of([np.log(3.0), 9.0, 0.0, 9.0])

    @compiled
    def draw(output, mask):
        return sampler.sample(Categorical(num_values=4).of(output).masked(mask), tf.constant(0, tf.int64), seeds.at(KEY, 0))

    assert_frequencies(draw(tf.constant(output), tf.constant([MASK] * ROWS)), probabilities)


def test_what_a_sampler_explores_is_what_it_draws():
    sampler, values, step, seed = EpsilonGreedy(0.4), ActionValues(num_values=3), tf.constant(0, tf.int64), seeds.at(KEY, 0)
    explored = sampler.explore(values, (1_000,), step, seed).numpy()
    drawn = sampler.sample(values.of(tf.constant(rows_of(OUTPUT, 1_000))), step, seed).numpy()
    assert 300 < (explored >= 0).sum() < 500
    np.testing.assert_array_equal(drawn, np.where(explored >= 0, explored, 1))
    assert Temperature().explore(values, (1_000,), step, seed) is None


def correlated_actions(correlation, steps, rows=20_000):
    """Returns the actions `[steps, rows]` of a normal distribution of mean 1 and deviation 2 over an episode."""
    sampler, normal = Correlated(correlation), Normal(shape=())
    policy = normal.of(tf.tile(tf.constant([[1.0, np.log(2.0)]], tf.float32), [rows, 1]))
    state, actions = sampler.initial_state(normal, rows), []
    for index in range(steps):
        action, state = sampler.sample_with_state(policy, state, tf.constant(index, tf.int64), seeds.at(KEY, index))
        actions.append(action.numpy())
    return np.stack(actions)


def test_correlated_actions_are_the_policys_one_by_one_and_follow_each_other():
    """From the first step of an episode on, each has the policy's mean and deviation."""
    actions = correlated_actions(0.9, 30)
    np.testing.assert_allclose(actions.mean(axis=1), 1.0, atol=0.06)
    np.testing.assert_allclose(actions.std(axis=1), 2.0, rtol=0.02)
    assert np.corrcoef(actions[-2], actions[-1])[0, 1] == pytest.approx(0.9, abs=0.01)
    assert np.corrcoef(actions[-6], actions[-1])[0, 1] == pytest.approx(0.9**5, abs=0.03)
    assert np.corrcoef(actions[-1][:-1], actions[-1][1:])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_without_correlation_actions_are_those_of_a_stochastic_sampler():
    policy = Normal(shape=()).of(tf.tile(tf.constant([[1.0, np.log(2.0)]], tf.float32), [20_000, 1]))
    expected = Stochastic().sample(policy, tf.constant(2, tf.int64), seeds.at(KEY, 2))
    np.testing.assert_array_equal(correlated_actions(0.0, 3)[2], expected)


def test_correlated_noise_in_choices_is_refused():
    with pytest.raises(errors.UsageError, match=r"Categorical isn't drawn from normal noise. Choose 'stochastic'"):
        Correlated().sample(Categorical(num_values=3).of(tf.zeros([1, 3])), tf.constant(0, tf.int64), seeds.at(KEY, 0))
