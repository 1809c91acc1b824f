"""Temperature, top-k and top-p: 100,000 draws against their definitions, by every execution, over any axes."""

import math

import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds, settings
from agentlab.distribution import Categorical
from agentlab.registry import plugins
from agentlab.sampler import Greedy, Temperature, TopK, TopP

DRAWS = 100_000
LOGITS = np.log(np.array([0.05, 0.4, 0.1, 0.3, 0.15]))
KEY = seeds.stream(3, "sampler")


def draw(sampler, output, compiled=lambda function: function, step=0):
    categorical = Categorical(num_values=np.shape(output)[-1])
    function = compiled(lambda output, step, seed: sampler.sample(categorical.of(output), step, seed))
    return function(tf.constant(output, tf.float32), tf.constant(step, tf.int64), seeds.at(KEY, step)).numpy()


def definition(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution, one value after the other, in plain Python."""
    powers = {index: math.exp(value / temperature) for index, value in enumerate(logits)}
    ranked = sorted(powers, key=lambda index: -powers[index])[:top_k]
    total = sum(powers[index] for index in ranked)
    indices, reached = [], 0.0
    for index in ranked:
        if top_p is not None and reached >= top_p:
            break
        indices.append(index)
        reached += powers[index] / total
    left = sum(powers[index] for index in indices)
    return [powers[index] / left if index in indices else 0.0 for index in range(len(logits))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "by_hand"),
    [
        ({}, [0.05, 0.4, 0.1, 0.3, 0.15]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_p": 0.69}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_p": 0.71}, [0, 8 / 17, 0, 6 / 17, 3 / 17]),  # 0.7 is not enough
        ({"temperature": 0.5, "top_k": 3}, [0, 16 / 27.25, 0, 9 / 27.25, 2.25 / 27.25]),  # squares of 0.4, 0.3, 0.15
        ({"top_k": 3, "top_p": 0.8}, [0, 4 / 7, 0, 3 / 7, 0]),  # 0.4 + 0.3 of the 0.85 that top-k left
        ({"temperature": 2.0, "top_k": 100, "top_p": 1.0}, None),
        ({"temperature": 3.0, "top_k": 4, "top_p": 0.6}, None),
    ],
    ids=str,
)
def test_frequencies_by_every_execution(assert_frequencies, compiled, values, by_hand):
    expected = definition(LOGITS, **values)
    if by_hand is not None:
        assert expected == pytest.approx(by_hand)
    assert_frequencies(draw(Temperature(**values), np.tile(LOGITS, (DRAWS, 1)), compiled), expected)


def test_each_position_of_a_window_is_drawn_on_its_own(assert_frequencies, compiled):
    output = np.tile(np.stack([LOGITS, LOGITS[::-1]]), (50_000, 1, 1))
    drawn = draw(Temperature(top_k=4), output, compiled)
    assert drawn.shape == (50_000, 2)
    assert drawn.dtype == np.int64
    first, second = definition(LOGITS, top_k=4), definition(LOGITS[::-1], top_k=4)
    assert_frequencies(drawn[:, 0], first)
    assert_frequencies(drawn[:, 1], second)
    assert_frequencies(drawn[:, 0] * 5 + drawn[:, 1], np.outer(first, second).ravel())


@pytest.mark.parametrize("values", [{}, {"top_k": 3}, {"top_p": 0.5}, {"top_k": 2, "top_p": 0.99}], ids=str)
def test_temperature_0_is_greedy(compiled, values):
    output = np.random.default_rng(0).integers(-3, 4, (1000, 6)).astype(np.float32)  # with many equal ones
    np.testing.assert_array_equal(draw(Temperature(0.0, **values), output, compiled), draw(Greedy(), output))


def test_of_equal_outputs_top_k_keeps_exactly_k():
    assert set(draw(Temperature(top_k=2), np.zeros((1000, 5)))) == {0, 1}


def test_the_most_probable_one_is_always_kept():
    assert set(draw(Temperature(5.0, top_p=1e-9), np.tile(LOGITS, (1000, 1)))) == {1}


def test_names_of_entry_points(assert_frequencies):
    assert plugins.load("sampler", "boltzmann") is plugins.load("sampler", "temperature") is Temperature
    top_k, top_p = plugins.load("sampler", "top-k"), plugins.load("sampler", "top-p")
    assert (top_k, top_p) == (TopK, TopP)
    assert_frequencies(draw(top_k(top_k=2), np.tile(LOGITS, (DRAWS, 1))), definition(LOGITS, top_k=2))
    assert_frequencies(draw(top_p(), np.tile(LOGITS, (DRAWS, 1))), definition(LOGITS, top_p=0.9))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"temperature": -0.1}, "'temperature' must be 0 or greater and finite: -0.1"),
        ({"temperature": float("nan")}, "'temperature' must be 0 or greater and finite: nan"),
        ({"top_k": 0}, "'top_k' must be at least 1: 0"),
        ({"top_p": 0.0}, "'top_p' must be greater than 0 and at most 1: 0.0"),
        ({"top_p": 1.1}, "'top_p' must be greater than 0 and at most 1: 1.1"),
        ({"top_p": float("nan")}, "'top_p' must be greater than 0 and at most 1: nan"),
    ],
)
def test_impossible_settings_are_refused(values, sentence):
    with pytest.raises(errors.UsageError) as failure:
        settings.build(Temperature, values, "the sampler")
    assert str(failure.value) == f"Wrong setting of the sampler: {sentence}."
