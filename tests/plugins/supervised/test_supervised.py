"""Supervised learning through the loop: Keras's numbers, any loss and metric, models in three styles, Keras afterwards."""

import json
import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.loop.device_gear import DeviceGear
from agentlab.registry.plugins import load
from agentlab.runs import composition
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary, MultiDiscrete
from agentlab_envs.data.images import Images
from making import build, make_batch
from paths import ROOT

SMALL = {"steps": 9_600, "report_period": 4_800, "execution": "graph", "trainer": {"learning_rate": 0.003}}


def run(tmp_path, name="run", model=None, seed=0, **changes):
    return agentlab.run("classifier-digits", seed, {**SMALL, **changes}, model=model, run_dir=tmp_path / name)


def dense(units=16):
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


# ---- the same numbers as Keras -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_loop_gives_kerass_numbers(tmp_path, execution):
    ours, theirs = dense(), dense()
    theirs.set_weights(ours.get_weights())
    changes = {"shuffle": False, "name": "images", "data": "digits"}
    run(tmp_path, model=ours, environment=changes, steps=44 * 32, execution=execution)  # 1,408 of 1,437 samples
    x, y = Images("digits").arrays()
    theirs.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    theirs.fit(x[: 44 * 32], y[: 44 * 32], batch_size=32, epochs=1, shuffle=False, verbose=0)
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_a_trained_model_is_a_plain_keras_model(tmp_path):
    trained = run(tmp_path)
    x, y = Images("digits", split="test").arrays()
    trained.model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    loss, accuracy = trained.model.evaluate(x, y, verbose=0)
    evaluation = trained.result["evaluation"]
    assert evaluation["accuracy"] == evaluation["return_mean"] == pytest.approx(round(accuracy * 360) / 360, abs=1e-12)
    assert evaluation["loss"] == pytest.approx(loss, rel=1e-5)
    assert evaluation["episodes"] == 360
    assert evaluation["accuracy"] > 0.9
    train_x, train_y = Images("digits").arrays()
    history = trained.model.fit(train_x, train_y, epochs=2, verbose=0).history
    assert history["loss"][-1] < 0.2  # fit goes on from there, not from the beginning


@pytest.mark.slow
def test_the_confusion_matrix_by_hand(tmp_path):
    trained = run(tmp_path, steps=960)
    x, y = Images("digits", split="test").arrays()
    answers = trained.model.predict(x, verbose=0).argmax(axis=1)
    expected = np.zeros((10, 10), int)
    for right, answer in zip(y, answers, strict=True):
        expected[right, answer] += 1
    evaluation = json.loads((trained.directory / "result.json").read_text())["evaluation"]
    assert evaluation["confusion_matrix"] == expected.tolist()
    assert evaluation["per_class_accuracy"] == pytest.approx(np.diagonal(expected) / expected.sum(axis=1))
    assert 0 < np.trace(expected) < 360


@pytest.mark.slow
def test_validation_during_training(tmp_path):
    evaluation = {"environment": {"name": "images", "split": "validation", "shuffle": False}, "period": 4_800}
    environment = {"name": "images", "data": "digits", "validation_fraction": 0.2}
    trained = run(tmp_path, environment=environment, evaluation=evaluation)
    assert trained.result["evaluation"]["episodes"] == 287  # a fifth of 1,437, as in training
    lines = [json.loads(line) for line in (trained.directory / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["evaluation_accuracy"] <= 1 for line in lines)
    assert lines[-1]["return_mean"] > 0.9  # the accuracy in training


# ---- losses, metrics, models ---------------------------------------------------------------------------------------------


class HalfSquares(keras.losses.Loss):
    """A loss of one's own, with Keras's reduction."""

    def call(self, y_true, y_pred):
        return 0.5 * tf.reduce_sum(tf.square(tf.one_hot(tf.cast(y_true, tf.int64), 10) - y_pred), axis=-1)


class Wrong(keras.metrics.Metric):
    """A metric of one's own: how many answers were wrong."""

    def __init__(self):
        super().__init__(name="wrong")
        self.count = self.add_variable((), "zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(tf.reduce_sum(tf.cast(tf.argmax(y_pred, -1) != y_true, tf.float32)))

    def result(self):
        return self.count.value


def squares(y_true, y_pred):
    return 0.5 * tf.reduce_sum(tf.square(tf.one_hot(y_true, 10) - y_pred), axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [HalfSquares(), squares], ids=["object", "function"])
def test_losses_and_metrics_of_ones_own(tmp_path, loss):
    metrics = [Wrong(), "accuracy", "SparseTopKCategoricalAccuracy"]
    trained = run(tmp_path, trainer={"loss_function": loss, "metrics": metrics, "learning_rate": 0.003})
    evaluation = trained.result["evaluation"]
    assert evaluation["wrong"] == 360 - round(evaluation["accuracy"] * 360)
    assert 0.85 < evaluation["accuracy"] <= evaluation["sparse_top_k_categorical_accuracy"]
    x, y = Images("digits", split="test").arrays()
    assert evaluation["loss"] == pytest.approx(np.mean(squares(y, trained.model(x))), rel=1e-5)


@pytest.mark.slow
def test_metrics_begin_anew_at_each_evaluation(tmp_path):
    trained = run(tmp_path, trainer={"metrics": [Wrong()], "learning_rate": 0.003}, evaluation={"period": 4_800})
    evaluation = trained.result["evaluation"]
    assert evaluation["wrong"] == 360 - round(evaluation["accuracy"] * 360)


@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        ({"loss_function": "crossentropie"}, "Keras has no loss 'crossentropie'; expected its name"),
        ({"loss_function": 5}, "Keras has no loss 5; expected its name"),
        ({"metrics": ["accuracie"]}, "Keras has no metric 'accuracie'; expected its name"),
        ({"optimizer": "adamm"}, "No optimizer named 'adamm'.*Did you mean 'adam'"),
    ],
)
def test_unknown_losses_and_metrics_are_told(tmp_path, trainer, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        run(tmp_path, trainer=trainer)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_three_styles_of_one_network(network):
    spec = EnvironmentSpec("pictures", Array((8, 8, 1)), Discrete(10))
    settings = {"hidden_units": (7,)} if network == "mlp" else {"filters": (3, 4), "hidden_units": 7, "dropout": 0.5}
    x = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    models = [
        build_model(load("model", name)(**settings), spec, 10, seed=3)
        for name in (network, f"{network}-functional", f"{network}-subclassed")
    ]
    kinds = [type(model) for model in models]
    assert len(set(kinds)) == 3
    assert isinstance(models[0], keras.Sequential)
    assert type(models[1]).__name__ == "Functional"
    for model in models[1:]:
        np.testing.assert_array_equal(model(x), models[0](x))
        assert model.count_params() == models[0].count_params()
        if network == "cnn":
            assert (model(x, training=True) != model(x)).numpy().any()  # dropout is told of training


@pytest.mark.parametrize(
    "name",
    ["mlp", "cnn-subclassed", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mlp-subclassed", "cnn-functional"))],
)
@pytest.mark.slow
def test_every_style_learns(tmp_path, name):
    settings = (
        {"hidden_units": [32]} if "mlp" in name else {"filters": [8], "kernel_size": 3, "hidden_units": 32, "dropout": 0.1}
    )
    changes = {**SMALL, "model": {"name": name, **settings}}
    trained = agentlab.run("classifier-digits", 0, changes, run_dir=tmp_path / "run")
    assert trained.result["evaluation"]["accuracy"] > 0.9


def test_a_network_that_does_not_fit_is_told(tmp_path):
    changes = {**SMALL, "model": {"name": "cnn", "filters": [4, 4, 4, 4]}}
    with pytest.raises(errors.UsageError, match=r"at least 16 x 16 pixels; .*'digits' shows observations of shape \(8, 8, 1\)"):
        agentlab.run("classifier-digits", 0, changes, run_dir=tmp_path / "run")
    with pytest.raises(errors.UsageError, match=r"shape \(1, 3\).*expected shape \(1, 10\).*Give its last layer 10 units"):
        run(tmp_path, model=keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))


def deciding(y_true, y_pred):
    """Python control flow on tensors: half the loss where all goes well, a weight that is found by a loop."""
    loss = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
    if tf.reduce_mean(loss) < 1.0:
        loss = loss * 0.5
    weight = tf.constant(0.25)
    while weight < 1.0:
        weight = weight * 2.0
    return loss * weight


class Deciding(keras.Model):
    """As Keras's own `fit` does, the loop leaves a model's `call` as it is: control flow in it asks for `tf.function`."""

    def __init__(self):
        super().__init__()
        self.flatten, self.last = keras.layers.Flatten(), keras.layers.Dense(10, kernel_initializer="zeros")

    @tf.function
    def call(self, inputs):
        features = self.flatten(inputs)
        if tf.reduce_mean(features) > 0.3:
            features = features * 0.5
        return self.last(features)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [Deciding, lambda: load("model", "linear")().build(Images("digits").spec, 10)], ids=["model", "loss"]
)
@pytest.mark.parametrize("compiled", ["graph", "xla"])
def test_control_flow_on_tensors_compiles(tmp_path, make, compiled):
    weights = {}
    trainer = {"loss_function": deciding, "learning_rate": 0.01}
    for execution in ("eager", compiled):
        trained = run(
            tmp_path, execution, make(), execution=execution, steps=32 * 4, trainer=trainer, evaluation={"episodes": 4}
        )
        weights[execution] = trained.model.get_weights()
        lines = [json.loads(line) for line in (trained.directory / "metrics.jsonl").read_text().splitlines()]
        assert lines[-1]["loss"] < 2.3  # of ten classes at first
    for ours, eager in zip(weights[compiled], weights["eager"], strict=True):
        np.testing.assert_allclose(ours, eager, rtol=1e-3, atol=1e-4)


def test_auto_picks_xla_for_dense_layers_and_a_graph_for_convolutions():
    picked = {}
    for name in ("mlp", "cnn", "cnn-subclassed"):
        task = agentlab.configuration.changed(composition.find_task("classifier-digits"), {"model": {"name": name}})
        environment = composition.build_environment(task.environment, task.num_environments)
        picked[name] = composition.build_agent(task, 0, environment.spec, None, "device").execution
    assert picked == {"mlp": "xla", "cnn": "graph", "cnn-subclassed": "graph"}


# ---- memories, crossings, bad runs ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_learning_from_a_replay(tmp_path):
    memory = {"name": "replay", "capacity": 1_000, "batch_size": 32}
    trainer = {"learning_starts": 320, "update_period": 32, "learning_rate": 0.003}
    trained = run(tmp_path, memory=memory, trainer=trainer)
    assert trained.result["evaluation"]["accuracy"] > 0.9
    assert trained.result["updates"] == (9_600 - 320) // 32 + 1


@pytest.mark.slow
def test_dqn_learns_to_classify_from_reward_alone(tmp_path):
    trained = agentlab.run("classifier-digits-reward", run_dir=tmp_path / "run")
    assert trained.result["evaluation"]["return_mean"] > 0.93


@pytest.mark.parametrize("environment", [{"name": "cartpole"}, {"name": "gymnasium", "id": "CartPole-v1"}])
def test_supervised_learning_without_answers_is_refused(tmp_path, environment):
    sentence = "Supervised learning needs the right answers; environment '.*' pays rewards and has no targets"
    with pytest.raises(errors.UsageError, match=sentence):
        run(tmp_path, environment=environment)
    assert not (tmp_path / "run").exists()


def test_a_data_set_smaller_than_the_batch_is_told(tmp_path):
    with pytest.raises(errors.UsageError, match=r"1437 samples, fewer than the 1500 environments .*Lower num_env"):
        run(tmp_path, num_environments=1_500)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_loss_that_becomes_nan_stops_within_a_chunk_and_keeps_the_last_good_state(tmp_path):
    calls = tf.Variable(0, dtype=tf.int64)

    def failing(y_true, y_pred):
        calls.assign_add(1)
        loss = tf.reduce_mean(tf.square(y_pred), axis=-1)
        return tf.where(calls > 200, tf.fill(tf.shape(loss), np.nan), loss)

    with pytest.raises(errors.TrainingFault, match="non-finite by step 6,720: loss is nan at update 201"):
        run(tmp_path, trainer={"loss_function": failing})
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["step-3840", "step-4800", "step-5760"]


@pytest.mark.slow
def test_one_trace_whatever_the_chunk(tmp_path):
    task = composition.find_task("classifier-digits")
    environment = composition.build_environment(task.environment, task.num_environments)
    gear = DeviceGear(composition.build_agent(task, 0, environment.spec, None, "device"), environment, 0)
    gear.start()
    for turns in (3, 10):
        gear.run(turns)
    assert gear.trace_count() == 1


@pytest.mark.slow
def test_arrays_of_ones_own_are_evaluated_on_their_own_test_split(tmp_path):
    x, y = Images("digits").arrays()
    data = {"x_train": x[:1_000], "y_train": y[:1_000], "x_test": x[1_000:], "y_test": y[1_000:]}
    trained = run(tmp_path, environment={"name": "images", "data": data})
    assert trained.result["evaluation"]["episodes"] == 437
    assert trained.result["evaluation"]["accuracy"] > 0.9


@pytest.mark.slow
def test_same_seed_same_bits(tmp_path):
    one, again, other = (
        run(tmp_path, str(number), seed=seed, steps=960, evaluation={"episodes": 20}) for number, seed in enumerate((0, 0, 1))
    )
    for first, second, third in zip(*(trained.model.get_weights() for trained in (one, again, other)), strict=True):
        np.testing.assert_array_equal(first, second)
        assert (first != third).any()


@pytest.mark.slow
def test_the_example_of_parts_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(ROOT / "examples" / "custom_parts.py"), run_name="example")
    weights, bias = example["regress"]().model.get_weights()
    np.testing.assert_allclose(weights.ravel(), [0.407845, 1.191065, 1.974285], atol=2e-5)
    assert bias[0] == pytest.approx(0.783221, abs=2e-5)
    evaluation = example["classify"]().result["evaluation"]
    assert evaluation["own_accuracy"] == pytest.approx(evaluation["accuracy"], abs=1e-6)
    assert evaluation["accuracy"] > 0.9


# ---- answers of several choices ----------------------------------------------------------------------------------------

ANSWERS = {
    "several choices": (MultiDiscrete((2, 3)), [[1, 2]], np.log(0.5) + np.log(1 / 3)),
    "zeros and ones": (MultiBinary((3,)), [[1, 0, 1]], 3 * np.log(0.5)),
    "a mapping": ({"gear": Discrete(4), "lights": MultiBinary((2,))}, None, np.log(0.25) + 2 * np.log(0.5)),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_of_several_choices_are_learned_by_their_log_probability(kind):
    """By hand: outputs of 0 are even chances; and the gradient leads to the right answers."""
    space, answers, expected = ANSWERS[kind]
    spec = EnvironmentSpec(kind, Array((2,)), space, target=space)
    trainer = load("trainer", "supervised")(optimizer="sgd", learning_rate=1.0)
    num_outputs = trainer.distribution(spec).num_outputs
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(num_outputs, kernel_initializer="zeros")])
    build(trainer, spec, model)
    target = {"gear": tf.constant([3]), "lights": tf.constant([[0, 1]])} if answers is None else tf.constant(answers)
    seen = tf.ones([1, 2])
    batch = make_batch(seen, target, tf.zeros(1), tf.ones(1), seen, target=target)
    losses = [float(trainer.learn(batch, tf.constant([0, 0], tf.int64)).metrics["loss"]) for _ in range(30)]
    assert losses[0] == pytest.approx(-expected, rel=1e-5)
    assert losses[-1] < 0.2
    tf.nest.map_structure(np.testing.assert_array_equal, trainer.distribution(spec).of(model(seen)).mode(), target)
    score = trainer.score()
    score.add(np.zeros([1, num_outputs], np.float32), batch)
    assert score.result()["loss"] == pytest.approx(-expected, rel=1e-5)
