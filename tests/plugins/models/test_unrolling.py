"""Models of symbols asked about whole sequences at once answer what they answer step by step."""

import numpy as np
import pytest
import tensorflow as tf

from agentlab import model as models
from agentlab.runs.composition import build_part
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import part

ROWS, TIME, SYMBOLS = 2, 5, 6
BEGUN = tf.constant([[False, False, True, False, False], [True, False, False, True, True]])
MODELS = {
    "lstm": {"units": 5, "layers": 2},
    "gru": {"units": 5, "embedding": 3},
    "gpt": {"units": 8, "layers": 2, "heads": 2, "context": 3},
}


def built(name, window, every_position=False):
    """Returns a model of windows of symbols, with weights that are far from 0."""
    action = Discrete(SYMBOLS, shape=(window,)) if every_position else Discrete(SYMBOLS)
    spec = EnvironmentSpec("letters", Array((window,), "int64", 0, SYMBOLS - 1), action)
    model, generator = build_model(build_part("model", part(name, **MODELS[name])), spec, SYMBOLS, 0), np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(generator.normal(size=weight.shape) / 2)
    return model


def symbols(*shape):
    return tf.constant(np.random.default_rng(1).integers(0, SYMBOLS, shape))


def assert_near(got, expected):
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("every_position", [False, True])
@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_whole_sequences_are_answered_as_step_by_step(name, window, every_position):
    model, observation = built(name, window, every_position), symbols(ROWS, TIME, window)
    _, carried = model(symbols(ROWS, window), model.initial_state(ROWS))
    for state in (model.initial_state(ROWS), carried):
        expected = models.unroll_steps(model, observation, state, BEGUN)
        assert_near(model.unroll(observation, state, BEGUN), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_single_steps(name):
    model, observation = built(name, 1), symbols(ROWS, TIME, 1)
    gradients = []
    for unroll in (model.unroll, lambda *arguments: models.unroll_steps(model, *arguments)):
        with tf.GradientTape() as tape:
            outputs, _ = unroll(observation, model.initial_state(ROWS), BEGUN)
            loss = tf.reduce_sum(tf.sin(outputs))
        slopes = tape.gradient(loss, [weight.value for weight in model.trainable_variables])
        gradients.append([tf.convert_to_tensor(slope) for slope in slopes])  # of an embedding, its rows are apart
    assert_near(*gradients)


def test_a_reset_that_is_forgotten_is_seen():
    model, observation = built("lstm", 1), symbols(ROWS, TIME, 1)
    expected, _ = models.unroll_steps(model, observation, model.initial_state(ROWS), BEGUN)
    got, _ = model.unroll(observation, model.initial_state(ROWS), tf.zeros_like(BEGUN))
    assert np.abs(got - expected).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("knows", [True, False])
def test_an_empty_cache_is_not_attended_to(knows):
    """Of a state that is known to be the first one, no key is computed; of one that isn't, C of them."""
    model = built("gpt", 1)
    first = model.initial_state(ROWS)

    @tf.function
    def unroll(observation, state):
        return model.unroll(observation, model.initial_state(ROWS) if knows else state, BEGUN)[0]

    operations = unroll.get_concrete_function(symbols(ROWS, TIME, 1), first).graph.get_operations()
    keys = {operation.outputs[0].shape[-1] for operation in operations if operation.type == "Softmax"}
    assert keys == {TIME if knows else 3 + TIME}
