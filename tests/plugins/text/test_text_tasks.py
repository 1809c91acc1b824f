"""Sequence models, their trainer and evaluation: by hand, against NumPy, and learning what can only be learned with a state."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.loop.device_gear import DeviceGear
from agentlab.model import as_network
from agentlab.registry import plugins
from agentlab.runs import composition
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import Batch
from agentlab_envs.text.text import Text
from agentlab_models.attention import positions_of, rotated
from agentlab_models.gpt import GPT
from agentlab_models.recurrence.layers import LSTM, RecurrentStack
from agentlab_models.recurrent import GRUBuilder, LSTMBuilder
from agentlab_text.trainer import NextSymbol, SymbolScore, next_symbol_loss

SPEC = EnvironmentSpec("text", Array((8,), "int64", 0, 4), Discrete(5, shape=(8,)), target=Discrete(5, shape=(8,)))
LAST_SPEC = EnvironmentSpec("text", Array((8,), "int64", 0, 4), Discrete(5), target=Discrete(5))
BUILDERS = {
    "lstm": LSTMBuilder(units=6),
    "lstm stack": LSTMBuilder(units=6, layers=2, embedding=3),
    "gru": GRUBuilder(units=6),
    "gru stack": GRUBuilder(units=6, layers=2, embedding=3),
    "gpt": GPT(units=8, layers=2, heads=2, context=5),
}
TEXT = "the quick brown fox jumps over the lazy dog; " * 40
SMALL = {
    "environment": {"text": TEXT, "window": 16},
    "model": {"units": 16},
    "num_environments": 4,
    "steps": 48,
    "report_period": 24,
    "execution": "graph",
    "evaluation": {"episodes": 1},
}


def build(name, spec=SPEC, seed=0):
    return build_model(BUILDERS[name], spec, 5, seed)


def symbols(rows, length, seed=0):
    return tf.constant(np.random.default_rng(seed).integers(0, 5, (rows, length)))


# ---- models -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.slow
def test_calls_of_one_position_give_the_numbers_of_a_call_of_many(name, compiled):
    network = build(name)
    call = compiled(lambda window, state: network(window, state, training=False))
    window = symbols(3, 14)  # longer than the context of gpt
    whole, final = call(window, network.initial_state(3))
    state, parts = network.initial_state(3), []
    for position in range(14):
        output, state = call(window[:, position : position + 1], state)
        parts.append(output)
    assert whole.shape == (3, 14, 5)
    np.testing.assert_allclose(tf.concat(parts, 1), whole, atol=2e-6)
    for ours, theirs in zip(tf.nest.flatten(state), tf.nest.flatten(final), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_where_one_answer_is_asked_for_it_is_that_of_the_last_position(name):
    every, last = build(name), build(name, LAST_SPEC)
    window = symbols(3, 8)
    np.testing.assert_allclose(
        last(window, last.initial_state(3))[0], every(window, every.initial_state(3))[0][:, -1], atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_nothing_is_seen_before_its_time_and_everything_before_is(name):
    network = build(name)
    outputs = network(symbols(1, 8), network.initial_state(1))[0].numpy()
    window = symbols(1, 8).numpy()
    window[0, 4] = (window[0, 4] + 1) % 5
    changed = network(tf.constant(window), network.initial_state(1))[0].numpy()
    np.testing.assert_array_equal(changed[0, :4], outputs[0, :4])
    assert (np.abs(changed[0, 4:] - outputs[0, 4:]).max(axis=-1) > 1e-7).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_the_state_of_one_row_begins_anew_while_others_go_on(name):
    network = build(name)
    _, state = network(symbols(2, 8), network.initial_state(2))
    state = as_network(network).restart(state, tf.constant([True, False]))
    outputs = network(symbols(2, 8, seed=1), state)[0].numpy()
    fresh = network(symbols(2, 8, seed=1), network.initial_state(2))[0].numpy()
    np.testing.assert_allclose(outputs[0], fresh[0], atol=1e-6)
    assert np.abs(outputs[1] - fresh[1]).max() > 1e-4


def test_gpt_sees_its_context_and_no_further():
    network = build_model(GPT(units=8, layers=1, heads=2, context=5), SPEC, 5, 0)
    window = symbols(1, 8).numpy()
    outputs = network(tf.constant(window), network.initial_state(1))[0].numpy()
    window[0, 1] = (window[0, 1] + 1) % 5
    changed = network(tf.constant(window), network.initial_state(1))[0].numpy()
    assert np.abs(changed - outputs).max(axis=-1)[0, 6] > 1e-7
    np.testing.assert_array_equal(changed[0, 7], outputs[0, 7])


def turned(vector: tf.Tensor, place: int) -> tf.Tensor:
    """Returns a vector of one head, `[size]`, as a query or key at a place of its episode."""
    positions = positions_of(tf.constant([place], tf.int64), 1, context=4, size=len(vector))
    return rotated(vector[None, None, None], positions.cosine, positions.sine)[0, 0, 0]


@pytest.mark.parametrize("place", [0, 13, 1_000_000_007])
def test_products_of_rotated_vectors_tell_distances_only(place):
    query, key = tf.constant(np.random.default_rng(0).normal(size=(2, 6)), tf.float32)
    near, other = (tf.reduce_sum(turned(query, 3) * turned(key, 3 + distance)) for distance in (2, 3))
    far = tf.reduce_sum(turned(query, place) * turned(key, place + 2))
    assert float(near) == pytest.approx(float(far), abs=1e-5)
    assert float(near) != pytest.approx(float(other), abs=1e-3)
    np.testing.assert_allclose(turned(query, 0), query, atol=1e-6)
    quarter = turned(tf.constant([1.0, 0.0]), 1)  # one turn of one radian
    np.testing.assert_allclose(quarter, [math.cos(1), math.sin(1)], atol=1e-6)


@pytest.mark.parametrize(
    "builder", [LSTMBuilder(units=6, dropout=0.5), GPT(units=8, heads=2, layers=1, dropout=0.5)], ids=["lstm", "gpt"]
)
@pytest.mark.slow
def test_dropout_in_training_only(builder, compiled):
    network = build_model(builder, SPEC, 5, 0)
    call = compiled(
        lambda window: [network(window, network.initial_state(3), training=mode)[0] for mode in (True, True, False, False)]
    )
    first, second, third, fourth = (output.numpy() for output in call(symbols(3, 8)))
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(third, fourth)


@pytest.mark.parametrize("length", [8, 1])
@pytest.mark.slow
def test_dropout_leaves_out_of_what_goes_up_not_of_what_is_carried_on(length, compiled):
    spec = EnvironmentSpec("text", Array((length,), "int64", 0, 4), Discrete(5, (length,)), target=Discrete(5, (length,)))
    network = build_model(LSTMBuilder(units=6, layers=2, dropout=0.5), spec, 5, 0)
    call = compiled(lambda window: [network(window, network.initial_state(3), training=True)[1] for _ in range(2)])
    (below, above), (below_again, above_again) = call(symbols(3, length))
    np.testing.assert_array_equal(below[0], below_again[0])
    assert np.abs(above[0] - above_again[0]).max() > 1e-4


@pytest.mark.slow
def test_dropout_leaves_out_the_same_units_at_all_positions(compiled):
    stack = RecurrentStack([LSTM(20, 5)], return_sequences=True, dropout=0.4)
    stack.build((3, 8))
    call = compiled(lambda window: (stack(window, training=True)[0], stack(window)[0]))
    dropped, whole = (outputs.numpy() for outputs in call(symbols(3, 8)))
    is_kept = dropped != 0
    assert (is_kept == is_kept[:, :1]).all()
    assert 0 < is_kept.mean() < 1
    assert (is_kept[0] != is_kept[1]).any()
    np.testing.assert_allclose(dropped[is_kept], whole[is_kept] / 0.6, rtol=1e-5)


@pytest.mark.slow
def test_parameters_are_counted_by_hand():
    count = {name: sum(math.prod(v.shape) for v in build(name).trainable_variables) for name in ("lstm", "gru", "gru stack")}
    assert count["lstm"] == 4 * 6 * (5 + 6 + 1) + 7 * 5
    assert count["gru"] == 3 * 6 * (5 + 6 + 2) + 7 * 5
    assert count["gru stack"] == 5 * 3 + 3 * 6 * (3 + 6 + 2) + 3 * 6 * (6 + 6 + 2) + 7 * 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gpt"])
def test_a_model_that_carries_a_state_is_refused_where_the_trainer_cant_use_it(name):
    with pytest.raises(errors.UsageError, match=rf"DQN values single observations; model '{name}' carries a state"):
        agentlab.make_agent(
            "char-rnn", changes={"environment": {"name": "cartpole"}, "model": {"name": name}, "trainer": {"name": "dqn"}}
        )


def test_heads_must_fit():
    with pytest.raises(ValueError, match="'units' must be a multiple of twice 'heads': 6 and 2"):
        GPT(units=6, heads=2)


# ---- trainer and score --------------------------------------------------------------------------------------------------


def test_loss_by_hand(compiled):
    output = tf.math.log(tf.constant([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6], [1.0, 1.0, 1.0]]]))
    target = tf.constant([[0, 1], [2, -1]], tf.int64)
    nats, judged = compiled(next_symbol_loss)(output, target)
    np.testing.assert_allclose(nats, [-math.log(0.5) - math.log(0.8), -math.log(0.6)], rtol=1e-6)
    assert judged.numpy().tolist() == [2.0, 1.0]
    last, _ = compiled(next_symbol_loss)(output[:, 0], target[:, 0])
    np.testing.assert_allclose(last, [-math.log(0.5), -math.log(0.6)], rtol=1e-6)


def batch_of(target):
    return Batch(*[()] * 7, target=target)


def test_all_positions_judged_weigh_alike():
    trainer, output = NextSymbol(), tf.Variable(np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = trainer.loss(output, batch_of(tf.constant([[1, 2, 3], [0, -1, -1]], tf.int64)), None)
        objective = tf.reduce_mean(loss.value)
    log_chances = tf.nn.log_softmax(output).numpy()
    expected = -(log_chances[0, 0, 1] + log_chances[0, 1, 2] + log_chances[0, 2, 3] + log_chances[1, 0, 0]) / 4
    assert float(objective) == pytest.approx(expected, rel=1e-5)
    assert float(loss.metrics["bits_per_character"]) == pytest.approx(expected / math.log(2), rel=1e-5)
    gradient = tape.gradient(objective, output).numpy()
    assert not gradient[1, 1:].any()
    nothing = trainer.loss(output, batch_of(tf.constant([[-1] * 3] * 2, tf.int64)), None)
    assert float(tf.reduce_mean(nothing.value)) == 0.0


def test_score_by_hand():
    score = SymbolScore()
    output = np.log(np.float32([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]]))
    score.add(output, batch_of(np.array([[1, 1]])))
    score.add(output, batch_of(np.array([[0, -1]])))
    score.add(output[:0], batch_of(np.zeros((0, 2), np.int64)))
    nats = -(math.log(0.25) + math.log(0.8) + math.log(0.5)) / 3
    assert score.result() == {
        "loss": pytest.approx(nats, rel=1e-6),
        "bits_per_character": pytest.approx(nats / math.log(2), rel=1e-6),
        "accuracy": 2 / 3,
        "characters": 3,
    }


def test_the_trainer_needs_to_be_told_the_right_symbols():
    with pytest.raises(errors.UsageError, match=r"environment 'cartpole' has no target. Choose environment 'text'"):
        NextSymbol().networks(EnvironmentSpec("cartpole", Array((4,)), Discrete(2)))


# ---- evaluation ---------------------------------------------------------------------------------------------------------


def bits_by_hand(weights, numbers):
    """Bits per character of an LSTM (Keras's weights) in NumPy, the state carried from the first character to the last."""
    kernel, recurrent, bias, head, head_bias = (np.float64(weight) for weight in weights)
    units = len(recurrent)
    h, c, nats = np.zeros(units), np.zeros(units), 0.0
    for symbol, following in itertools.pairwise(numbers):
        i, f, g, o = np.split(kernel[symbol] + h @ recurrent + bias, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        logits = h @ head + head_bias
        nats += math.log(np.exp(logits).sum()) - logits[following]
    return nats / (len(numbers) - 1) / math.log(2)


@pytest.mark.parametrize("length", [161, 167])  # of the test split: whole windows of 16, and a part of one
@pytest.mark.slow
def test_bits_per_character_equal_a_numpy_computation_of_the_whole_split(tmp_path, length):
    text = TEXT[: 10 * length]
    run = agentlab.run(
        "char-rnn", 0, {**SMALL, "environment": {**SMALL["environment"], "text": text}}, run_dir=tmp_path / "run"
    )
    environment = Text(text=text, window=16)
    numbers = environment.spec.vocabulary.encode(text[-length:])
    evaluation = run.result["evaluation"]
    assert evaluation["characters"] == length - 1
    assert evaluation["episodes"] == 1
    assert evaluation["bits_per_character"] == pytest.approx(bits_by_hand(run.model.get_weights(), numbers), rel=1e-5)
    assert evaluation["return_mean"] == pytest.approx(evaluation["accuracy"] * (length - 1))


@pytest.mark.slow
def test_by_default_a_short_split_is_read_once_in_as_many_stretches_as_it_has_windows(tmp_path):
    changes = {**SMALL, "environment": {**SMALL["environment"], "text": TEXT[:700]}, "steps": 4, "evaluation": {}}
    evaluation = agentlab.run("char-rnn", 0, changes, run_dir=tmp_path / "run").result["evaluation"]
    assert (evaluation["episodes"], evaluation["characters"]) == (4, 69)


def test_evaluating_on_a_text_with_another_vocabulary_is_refused(tmp_path):
    agent = agentlab.make_agent("char-rnn", changes=SMALL)
    task = agentlab.Task.from_data({**composition.find_task("char-rnn").as_data()})
    other = agentlab.configuration.changed(task, {**SMALL, "environment": {**SMALL["environment"], "text": "other " * 200}})
    with pytest.raises(errors.UsageError, match="has another vocabulary than the agent was trained with"):
        composition.build_evaluator(other, 0, agent)


# ---- learning -----------------------------------------------------------------------------------------------------------

CARRIED = {
    "environment": {"text": "aab" * 200, "window": 1},
    "model": {"units": 8},
    "trainer": {"learning_rate": 0.01},
    "num_environments": 8,
    "steps": 8 * 300,
    "report_period": 8 * 300,
    "execution": "graph",
    "evaluation": {"episodes": 1},
}


def accuracy_after_learning(tmp_path, name):
    changes = {
        **CARRIED,
        "model": {**CARRIED["model"], "name": name} if name != "gpt" else {"name": "gpt", "units": 8, "layers": 1},
    }
    return agentlab.run("char-rnn", 0, changes, run_dir=tmp_path / name).result["evaluation"]["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_what_follows_an_a_is_learned_with_the_state_of_the_window_before(tmp_path, name):
    assert accuracy_after_learning(tmp_path, name) > 0.95


@pytest.mark.slow
def test_without_the_state_of_the_window_before_it_is_not(tmp_path, monkeypatch):
    def always(network, state, begun):
        return network.initial_state(begun.shape[0])

    monkeypatch.setattr("agentlab.model.Network.restart", always)
    assert accuracy_after_learning(tmp_path, "lstm") < 0.75


def weights_after(tmp_path, gear, execution, rows=4):
    changes = {**SMALL, "gear": gear, "execution": execution, "trainer": {"optimizer": "sgd"}, "steps": 16}
    run = agentlab.run("char-rnn", 0, changes, run_dir=tmp_path / f"{gear}-{execution}")
    return run.model.get_weights()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return weights_after(tmp_path_factory.mktemp("reference"), "device", "graph")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["host-graph", "device-xla", "device-eager"])
def test_both_gears_and_every_execution_learn_the_same(tmp_path, reference, way):
    for ours, theirs in zip(weights_after(tmp_path, *way.split("-")), reference, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_the_loop_is_traced_once():
    agent = agentlab.make_agent("char-rnn", changes=SMALL)
    gear = DeviceGear(agent, Text(text=TEXT, window=16), 0)
    gear.start()
    for turns in (3, 5):
        gear.run(turns)
    assert gear.trace_count() == 1


# ---- tasks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["char-rnn", "char-rnn-handbook", pytest.param("char-rnn-docs", marks=pytest.mark.slow), "char-gpt"]
)
@pytest.mark.slow
def test_tasks_run_on_a_text_of_ones_own(tmp_path, name):
    file = tmp_path / "text.txt"
    file.write_text(TEXT * 3, "utf-8")
    window = {} if name == "char-rnn-handbook" else {"window": 16}
    small = {"units": 16, "layers": 1}
    changes = {
        "environment": {"path": str(file), **window},
        "model": small,
        "steps": 128,
        "report_period": 64,
        "execution": "graph",
    }
    result = agentlab.run(name, 0, changes, run_dir=tmp_path / "run").result
    test_split = round(len(TEXT) * 3 * 0.1)
    expected = test_split - 40 if name == "char-rnn-handbook" else test_split - 1
    assert result["evaluation"]["characters"] == expected
    assert result["gear"] == "device"


def test_the_handbooks_settings():
    task = plugins.load("task", "char-rnn-handbook")
    assert task.model == agentlab.part("lstm", units=256)
    assert (task.num_environments, task.steps) == (50, 50 * 1000)
    assert task.environment.settings["window"] == 40
    assert task.trainer.settings == {"learning_rate": 1e-3}
