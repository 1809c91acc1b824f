"""Recurrent layers against Keras's own, finite differences and numbers worked by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors
from agentlab.tensors import execution
from agentlab_models.recurrence.layers import GRU, LSTM, RecurrentStack, table_rows

BATCH, LENGTH, FEATURES, UNITS, SYMBOLS = 3, 5, 4, 6, 7
PAIRS = [(LSTM, keras.layers.LSTM), (GRU, keras.layers.GRU)]
KINDS = pytest.mark.parametrize("kind", [LSTM, GRU])
COVERAGE = pytest.mark.parametrize("every_position", [True, False])


def random_tensors(shapes, dtype="float32", seed=0):
    generator = np.random.default_rng(seed)
    return [tf.constant(generator.normal(size=shape), dtype) for shape in shapes]


def states(kind, batch=BATCH, dtype="float32"):
    return tuple(random_tensors([(batch, UNITS)] * kind.num_states, dtype, seed=1))


def randomized(layer, shape):
    """Builds the layer with all weights random, biases included: zeros would hide mistakes."""
    layer.build(shape)
    layer.set_weights([0.5 * value.numpy() for value in random_tensors([weight.shape for weight in layer.weights], seed=2)])
    return layer


def weighted_sum(tensors):
    """A loss in which every element of every output, the final state's too, has a weight of its own."""
    weights = random_tensors([tensor.shape for tensor in tensors], tensors[0].dtype, seed=3)
    return sum(tf.reduce_sum(weight * tf.sin(tensor)) for weight, tensor in zip(weights, tensors, strict=True))


def flat_call(layer, inputs, state):
    """Calls ours or Keras's layer and returns outputs and final states as one flat list."""
    return tf.nest.flatten(layer(inputs, initial_state=list(state)))


def outputs_and_gradients(layer, inputs, state):
    with tf.GradientTape() as tape:
        tape.watch([inputs, *state])
        outputs = flat_call(layer, inputs, state)
        loss = weighted_sum(outputs)
    return outputs, tape.gradient(loss, [inputs, *state, *(weight.value for weight in layer.weights)])


def assert_close(ours, theirs):
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=2e-5, atol=2e-5)


@pytest.mark.pairwise
@pytest.mark.parametrize(("kind", "kerass"), PAIRS)
@COVERAGE
@pytest.mark.slow
def test_features_as_keras(kind, kerass, every_position, compiled):
    ours = randomized(kind(UNITS, return_sequences=every_position), (BATCH, LENGTH, FEATURES))
    theirs = kerass(UNITS, return_sequences=every_position, return_state=True)
    (inputs,) = random_tensors([(BATCH, LENGTH, FEATURES)])
    theirs.build(inputs.shape)
    theirs.set_weights(ours.get_weights())
    outputs, gradients = compiled(lambda x, *state: outputs_and_gradients(ours, x, state))(inputs, *states(kind))
    expected_outputs, expected_gradients = outputs_and_gradients(theirs, inputs, states(kind))
    assert_close(outputs, expected_outputs)
    assert_close(gradients, expected_gradients)


@pytest.mark.pairwise
@pytest.mark.parametrize(("kind", "kerass"), PAIRS)
@COVERAGE
@pytest.mark.slow
def test_symbols_as_keras_on_one_hot_codes(kind, kerass, every_position, compiled):
    ours = randomized(kind(UNITS, SYMBOLS, return_sequences=every_position), (BATCH, LENGTH))
    theirs = kerass(UNITS, return_sequences=every_position, return_state=True)
    symbols = tf.constant(np.random.default_rng(0).integers(0, SYMBOLS - 1, (BATCH, LENGTH)))  # the last one never occurs
    codes = tf.one_hot(symbols, SYMBOLS)
    theirs.build(codes.shape)
    theirs.set_weights(ours.get_weights())

    def run(symbols, *state):
        with tf.GradientTape() as tape:
            tape.watch(state)
            outputs = flat_call(ours, symbols, state)
            loss = weighted_sum(outputs)
        return outputs, tape.gradient(loss, [*state, *(weight.value for weight in ours.weights)])

    outputs, gradients = compiled(run)(symbols, *states(kind))
    expected_outputs, expected_gradients = outputs_and_gradients(theirs, codes, states(kind))
    assert_close(outputs, expected_outputs)
    assert_close(gradients, expected_gradients[1:])


@pytest.mark.pairwise
@KINDS
@COVERAGE
@pytest.mark.slow
def test_gradient_is_the_slope(kind, every_position, compiled):
    """Central differences in float64, through outputs and final state, along a random direction of each tensor in turn."""
    layer = randomized(kind(UNITS, return_sequences=every_position, dtype="float64"), (BATCH, LENGTH, FEATURES))
    (inputs,) = random_tensors([(BATCH, LENGTH, FEATURES)], "float64")
    points = [inputs, *states(kind, dtype="float64"), *(tf.identity(weight.value) for weight in layer.weights)]
    directions = random_tensors([point.shape for point in points], "float64", seed=4)
    gradients = compiled(lambda x, *state: outputs_and_gradients(layer, x, state)[1])(*points[: 1 + kind.num_states])

    def loss(moved):
        x, state, weights = moved[0], moved[1 : 1 + kind.num_states], moved[1 + kind.num_states :]
        layer.set_weights([weight.numpy() for weight in weights])
        return float(weighted_sum(flat_call(layer, x, state)))

    for index, (direction, gradient) in enumerate(zip(directions, gradients, strict=True)):
        ends = [[*points[:index], points[index] + step * direction, *points[index + 1 :]] for step in (1e-6, -1e-6)]
        slope = (loss(ends[0]) - loss(ends[1])) / 2e-6
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@COVERAGE
@pytest.mark.quick("graph-True")
def test_stack_as_two_keras_layers(every_position, compiled):
    stack = RecurrentStack([LSTM(UNITS, SYMBOLS), GRU(UNITS)], return_sequences=every_position)
    stack.build((BATCH, LENGTH))
    stack.set_weights([0.5 * value.numpy() for value in random_tensors([weight.shape for weight in stack.weights])])
    symbols = tf.constant(np.random.default_rng(0).integers(0, SYMBOLS, (BATCH, LENGTH)))
    lower = keras.layers.LSTM(UNITS, return_sequences=True, return_state=True)
    upper = keras.layers.GRU(UNITS, return_sequences=every_position, return_state=True)
    lower.build((BATCH, LENGTH, SYMBOLS))
    upper.build((BATCH, LENGTH, UNITS))
    lower.set_weights(stack.get_weights()[:3])
    upper.set_weights(stack.get_weights()[3:])

    def ours(symbols):
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(stack(symbols))
            loss = weighted_sum(outputs)
        return outputs, tape.gradient(loss, [weight.value for weight in stack.weights])

    with tf.GradientTape() as tape:
        middle, *lower_state = lower(tf.one_hot(symbols, SYMBOLS))
        top, *upper_state = upper(middle)
        loss = weighted_sum([top, *lower_state, *upper_state])
    outputs, gradients = compiled(ours)(symbols)
    assert_close(outputs, [top, *lower_state, *upper_state])
    assert_close(gradients, tape.gradient(loss, [weight.value for weight in [*lower.weights, *upper.weights]]))


@pytest.mark.pairwise
@KINDS
@pytest.mark.parametrize("length", [1, LENGTH])
@pytest.mark.slow
def test_steps_are_the_sequence(kind, length, compiled):
    stack = RecurrentStack([kind(UNITS, SYMBOLS), kind(UNITS)], return_sequences=True)
    symbols = tf.constant(np.random.default_rng(0).integers(0, SYMBOLS, (BATCH, length)))

    def by_steps(symbols):
        state, outputs = stack.zero_state(BATCH), []
        for column in tf.unstack(symbols, axis=1):
            output, state = stack.step(column, state)
            outputs.append(output)
        return tf.stack(outputs, axis=1), state

    expected, expected_state = stack(symbols)
    outputs, state = compiled(by_steps)(symbols)
    assert_close([outputs, *tf.nest.flatten(state)], [expected, *tf.nest.flatten(expected_state)])


@KINDS
@pytest.mark.slow
def test_a_sequence_in_two_parts(kind, compiled):
    layer = randomized(kind(UNITS), (BATCH, LENGTH, FEATURES))
    (inputs,) = random_tensors([(BATCH, LENGTH, FEATURES)])

    def in_parts(inputs):
        _, state = layer(inputs[:, :2])
        return layer(inputs[:, 2:], initial_state=state)

    assert_close(tf.nest.flatten(compiled(in_parts)(inputs)), tf.nest.flatten(layer(inputs)))


def test_lstm_by_hand(compiled):
    """One unit, two symbols, one position: all gates see kernel + 0.5 U + bias."""
    layer = LSTM(1, 2)
    layer.build((1, 1))
    layer.set_weights([np.array([[9, 9, 9, 9], [1, 2, 3, 4]]), np.array([[2, 2, 2, 2]]), np.array([0, 1, 0, -1])])
    h, c = tf.constant([[0.5]]), tf.constant([[0.25]])
    output, (h, c) = compiled(lambda symbols: layer(symbols, initial_state=(h, c)))(tf.constant([[1]]))
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    expected_c = sigmoid(4.0) * 0.25 + sigmoid(2.0) * math.tanh(4.0)  # forget: 2 + 1 + 1; input: 1 + 1; candidate: 3 + 1
    expected_h = sigmoid(4.0) * math.tanh(expected_c)  # output: 4 + 1 - 1
    assert [output.numpy().item(), h.numpy().item(), c.numpy().item()] == pytest.approx(
        [expected_h, expected_h, expected_c], rel=1e-6
    )


def test_gru_by_hand(compiled):
    """The reset gate is applied to h U + b, after the product."""
    layer = GRU(1, 2)
    layer.build((1, 1))
    biases = np.array([[0, 0, 1], [0, 1, 2]])
    layer.set_weights([np.array([[9, 9, 9], [1, 2, 3]]), np.array([[2, 2, 4]]), biases])
    h = tf.constant([[0.5]])
    output, _ = compiled(lambda symbols: layer(symbols, initial_state=(h,)))(tf.constant([[1]]))
    update, reset = (1 / (1 + math.exp(-x)) for x in (2.0, 4.0))  # 1 + 1; 2 + 1 + 1
    candidate = math.tanh(4 + reset * 4)  # 3 + 1; 2 + 2
    assert output.numpy().item() == pytest.approx(update * 0.5 + (1 - update) * candidate, rel=1e-6)


def test_table_rows_sum_the_gradients_of_equal_symbols(compiled):
    def run(table):
        with tf.GradientTape() as tape:
            tape.watch(table)
            rows = table_rows(table, tf.constant([[2, 0], [2, 2]]))
            loss = tf.reduce_sum(rows * tf.reshape(tf.range(8.0), [2, 2, 2]))
        return rows, tape.gradient(loss, table)

    rows, gradient = compiled(run)(tf.constant([[1.0, 2], [3, 4], [5, 6]]))
    assert rows.numpy().tolist() == [[[5, 6], [1, 2]], [[5, 6], [5, 6]]]
    assert gradient.numpy().tolist() == [[2, 3], [0, 0], [0 + 4 + 6, 1 + 5 + 7]]


@KINDS
def test_one_trace_serves_any_batch_and_length(kind):
    layer = randomized(kind(UNITS, SYMBOLS, return_sequences=True), (None, None))
    run = execution.Compiled(lambda symbols: layer(symbols), "graph", [tf.TensorSpec([None, None], tf.int64)])
    for shape in ((2, 3), (4, 1)):
        symbols = tf.zeros(shape, tf.int64)
        assert_close(tf.nest.flatten(run(symbols)), tf.nest.flatten(layer(symbols)))
    assert run.trace_count() == 1


@KINDS
def test_functional_model(kind):
    inputs = keras.Input((None,), dtype="int64")
    outputs, _ = kind(UNITS, SYMBOLS, return_sequences=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(outputs))
    assert model.output_shape == (None, None, 2)
    assert model(tf.zeros([BATCH, LENGTH], tf.int64)).shape == (BATCH, LENGTH, 2)


def test_initial_weights_as_keras():
    layer = LSTM(UNITS, SYMBOLS)
    layer.build((None, LENGTH))
    kernel, recurrent, bias = layer.get_weights()
    assert np.abs(kernel).max() <= math.sqrt(6 / (SYMBOLS + 4 * UNITS))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(UNITS), atol=1e-5)
    assert bias.tolist() == [0] * UNITS + [1] * UNITS + [0] * 2 * UNITS
    names = [weight.name for weight in layer.weights]
    assert names == ["kernel", "recurrent_kernel", "bias"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(0), "LSTM got units=0; expected at least 1."),
        (lambda: GRU(2, 0), "GRU got num_symbols=0; expected at least 1."),
        (lambda: RecurrentStack([]), "RecurrentStack got no layers; expected at least one."),
        (lambda: LSTM(2).build((3, 4)), "features [B, T, F]; give num_symbols for symbols."),
        (lambda: LSTM(2, 5).build((3, 4, 5)), "expected symbols [B, T]."),
    ],
)
def test_mistakes_are_explained(make, message):
    with pytest.raises(errors.UsageError) as error:
        make()
    assert str(error.value).endswith(message)


@KINDS
@pytest.mark.slow
def test_a_reset_within_a_sequence_is_a_new_sequence(kind, compiled):
    """Outputs, states and all gradients, against steps one by one; row 1 is reset at its first step, row 2 twice."""
    layer = randomized(kind(UNITS), (BATCH, LENGTH, FEATURES))
    (inputs,) = random_tensors([(LENGTH, BATCH, FEATURES)])
    keep = np.ones((LENGTH, BATCH, 1), np.float32)
    for step, row in ((0, 1), (1, 2), (3, 2)):
        keep[step, row] = 0.0

    def one_by_one(inputs, state):
        outputs = []
        for step in range(LENGTH):
            output, state = layer.step(inputs[step], tuple(keep[step] * leaf for leaf in state))
            outputs.append(output)
        return tf.stack(outputs), state

    def gradients_of(scan):
        def run(inputs, *state):
            with tf.GradientTape() as tape:
                tape.watch([inputs, *state])
                outputs = tf.nest.flatten(scan(inputs, state))
                loss = weighted_sum(outputs)
            return outputs, tape.gradient(loss, [inputs, *state, *(weight.value for weight in layer.weights)])

        return run

    expected = gradients_of(one_by_one)(inputs, *states(kind))
    run = compiled(gradients_of(lambda inputs, state: layer.scan(inputs, state, True, tf.constant(keep))))
    for ours, theirs in zip(run(inputs, *states(kind)), expected, strict=True):
        assert_close(ours, theirs)
