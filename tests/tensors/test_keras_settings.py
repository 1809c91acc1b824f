"""What a program sets for the whole of Keras, dtypes of layers, and models in which there is little or nothing to train."""

import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import TimeStep, errors, seeds
from agentlab.algorithms.optimizers import OPTIMIZERS
from agentlab.model import ModelBuilder
from agentlab.runs.composition import build_evaluator, make_agent, resolved
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.tensors.parameters import clipped, global_norm
from agentlab.tensors.state import variables_of
from agentlab.testing.probes.keras_process import settings_of_keras
from agentlab.trainer import Loss, Trainer
from agentlab_dqn.trainer import DQN
from agentlab_models.mlp import MLP
from making import build, make_batch

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(2))
HOSTILE = {
    "float64": {"floatx": "float64", "epsilon": 0.1},
    "bfloat16": {"floatx": "bfloat16", "data_format": "channels_first"},
    "mixed float16": {"policy": "mixed_float16"},
}
hostile = pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)


def batch(seed=0):
    generator = np.random.default_rng(seed)
    observations, following = (tf.constant(generator.normal(size=(8, 2)).astype(np.float32)) for _ in range(2))
    reward = tf.constant(generator.normal(size=8).astype(np.float32))
    return make_batch(observations, tf.constant(generator.integers(0, 2, 8)), reward, tf.ones(8), following, weight=reward**2)


# ---- settings of the process -----------------------------------------------------------------------------------------


def learned(optimizer):
    trainer = DQN(optimizer=optimizer, learning_rate=0.3, max_gradient_norm=1.0, target_update_period=1, target_update_rate=0.1)
    build(trainer, SPEC, build_model(MLP(hidden_units=(4,)), SPEC, 2, 0))
    for step in range(3):
        metrics = trainer.learn(batch(), seeds.at(1, step)).metrics
    return [*trainer.model.get_weights(), *variables_of(trainer.target).values(), metrics["loss"]]


@hostile
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, {"name": "adam", "amsgrad": True}], ids=str)
@pytest.mark.quick("adam-*", "sgd-mixed float16")
def test_updates_are_the_same_under_any_settings(settings, optimizer):
    expected = learned(optimizer)
    with settings_of_keras(**settings):
        for one, other in zip(expected, learned(optimizer), strict=True):
            np.testing.assert_array_equal(one, other)


LOSSES = [None, "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "kl_divergence", "huber"]


def regression(loss):
    """What is learned, and what evaluations say of it, where the right answer is next to nothing: there a fuzz factor tells."""
    inputs = np.linspace(0.0, 0.04, 24).reshape(8, 3).tolist()
    changes = {
        "environment": {"inputs": inputs, "targets": [[0.0], [1e-3]] * 4},
        "model": {"name": "mlp", "hidden_units": [3], "activation": "sigmoid"},
        "trainer": {"loss_function": loss, "metrics": ["MeanAbsolutePercentageError", "CosineSimilarity"]},
    }
    task = resolved("linear-regression", changes)
    agent = make_agent(task)
    rows = agent.num_environments
    observations, nothing = np.resize(np.float32(inputs), (rows, 3)), np.zeros(rows, np.bool_)
    for _ in range(3):
        agent.step(TimeStep(observations, np.zeros(rows), nothing, nothing, observations, np.full((rows, 1), 1e-3, np.float32)))
    weights = [weight.tolist() for weight in agent.model.get_weights()]
    return {**build_evaluator(task, 0, agent).run(), **agent.learner.means.collect(), "weights": weights}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.quick("None", "kl_divergence", "huber")
def test_losses_and_metrics_are_the_same_under_any_settings(loss):
    expected = regression(loss)
    with settings_of_keras(floatx="float64", epsilon=0.3):
        assert regression(loss) == expected


def test_keras_gets_its_settings_back():
    inside, outside = [], []

    def build(wait):
        with keras_defaults():
            wait.wait()
            inside.append((keras.config.floatx(), keras.config.dtype_policy().name, keras.config.image_data_format()))

    with settings_of_keras("float64", "mixed_float16", "channels_first", 0.5):
        barrier = threading.Barrier(2)
        threads = [threading.Thread(target=build, args=[barrier]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(ZeroDivisionError), keras_defaults():
            raise ZeroDivisionError
        config = keras.config
        outside = [config.floatx(), config.dtype_policy().name, config.image_data_format(), config.epsilon()]
    assert inside == [("float32", "float32", "channels_last")] * 2
    assert outside == ["float64", "mixed_float16", "channels_first", 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "nonsense"])
def test_another_backend_is_told(backend, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "agentlab", "run", "dqn-cartpole", "--run-dir", str(tmp_path / "run")]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr == (
        f"agentlab: Keras is set to the {backend!r} backend; agentlab needs 'tensorflow'. Set the environment variable "
        "KERAS_BACKEND=tensorflow, which overrides the file keras.json.\n"
    )
    assert not (tmp_path / "run").exists()


# ---- dtypes of layers --------------------------------------------------------------------------------------------------


def model_of(hidden="float32", last="float32", name="mine"):
    layers = [keras.layers.Dense(4, activation="tanh", dtype=hidden), keras.layers.Dense(2, dtype=last)]
    return keras.Sequential([keras.Input((2,)), *layers], name=name)


@pytest.mark.parametrize("dtype", ["float64", "float16", "mixed_float16", "mixed_bfloat16"])
def test_outputs_of_another_dtype_are_told(dtype):
    with pytest.raises(errors.UsageError) as failure:
        build_model(model_of(dtype, dtype), SPEC, 2, 0)
    computed = dtype.removeprefix("mixed_")
    assert str(failure.value) == (
        f"Model 'mine' answers one observation of 'plane' with shape (1, 2) and dtype {computed}; expected dtype float32. "
        "Give its last layer dtype='float32'."
    )
    build_model(model_of(dtype, "float32"), SPEC, 2, 0)  # as advised


def test_the_setting_that_decides_a_dtype_is_named():
    with settings_of_keras("float64"):
        own = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="mine")
        with pytest.raises(errors.UsageError, match="as Keras's dtype policy is 'float64' in this process"):
            build_model(own, SPEC, 2, 0)


class Complex(keras.layers.Layer):
    """Has a weight of a dtype that no checkpoint holds."""

    def build(self, _):
        self.phase = self.add_weight(shape=(1,), dtype="complex64", initializer="zeros", trainable=False, name="phase")

    def call(self, inputs):
        return inputs


def test_weights_that_no_checkpoint_holds_are_told():
    model = keras.Sequential([keras.Input((2,)), Complex(), keras.layers.Dense(2)], name="mine")
    with pytest.raises(errors.UsageError, match=r"has weights in complex64, such as '.*phase'; a checkpoint can't"):
        build_model(model, SPEC, 2, 0)


def test_weights_in_bfloat16_are_those_of_a_checkpoint_too():
    assert {weight.dtype for weight in build_model(model_of("bfloat16"), SPEC, 2, 0).weights} >= {"bfloat16"}


def test_a_builder_gets_kerass_defaults():
    class Mine(ModelBuilder):
        def build(self, spec, num_outputs):
            return keras.Sequential([keras.Input((2,)), keras.layers.Dense(num_outputs)])

    with settings_of_keras("float64"):
        assert build_model(Mine(), SPEC, 2, 0).dtype_policy.name == "float32"


DTYPES = dict(zip(OPTIMIZERS, ["float64", "mixed_float16", "mixed_bfloat16", "float16"], strict=True))


@pytest.mark.parametrize(("optimizer", "hidden"), DTYPES.items())
@pytest.mark.slow
def test_layers_of_any_dtype_learn(compiled, optimizer, hidden):
    model = build_model(model_of(hidden), SPEC, 2, 0)
    arguments = {} if optimizer == "sgd" else {"epsilon": 1e-3}
    trainer = DQN(optimizer={"name": optimizer, **arguments}, max_gradient_norm=0.5, learning_rate=0.05)
    build(trainer, SPEC, model)
    learn, losses = compiled(trainer.learn), []
    frozen = trainer.target.output(batch().observation).numpy()
    for step in range(15):
        losses.append(float(learn(batch(), seeds.at(1, step)).metrics["loss"]))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(trainer.target.output(batch().observation), frozen)


def test_norms_of_several_dtypes_by_hand():
    gradients = [tf.constant([[3.0]]), tf.constant([4.0], tf.float64), tf.constant([12.0], tf.float16)]
    norm = global_norm(gradients)
    assert norm.dtype == tf.float32
    assert float(norm) == 13.0
    for limit, scale in ((6.5, 0.5), (26.0, 1.0)):
        scaled = clipped(gradients, limit, norm)
        assert [gradient.dtype for gradient in scaled] == [gradient.dtype for gradient in gradients]
        assert [float(tf.reshape(gradient, [])) for gradient in scaled] == [3.0 * scale, 4.0 * scale, 12.0 * scale]


@pytest.mark.slow
def test_a_run_with_layers_of_another_dtype_is_loaded(tmp_path):
    layers = [keras.layers.Dense(8, dtype="float64"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    changes = {"steps": 200, "trainer": {"learning_starts": 50}, "evaluation": {"episodes": 1}, "report_period": 100}
    run = agentlab.run("dqn", 0, changes, model=model, run_dir=tmp_path / "run")
    agent = agentlab.load(tmp_path / "run", model=keras.models.clone_model(model))
    for one, other in zip(run.model.get_weights(), agent.model.get_weights(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


# ---- little or nothing to train ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["dqn", "classifier-digits"])
def test_a_model_with_nothing_to_train_is_told(task):
    shape, count = {"dqn": ((4,), 2), "classifier-digits": ((8, 8, 1), 10)}[task]
    frozen = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(count)], name="mine")
    frozen.trainable = False
    with pytest.raises(errors.UsageError) as failure:
        agentlab.make_agent(task, model=frozen)
    assert str(failure.value) == (
        "Model 'mine' is frozen: none of its 2 weights is trainable. Set trainable = True on the layers that are to be trained."
    )
    frozen.layers[-1].trainable = frozen.trainable = True
    agentlab.make_agent(task, model=frozen)
    first = keras.layers.Lambda(lambda flat: flat[:, :count])
    idle = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), first], name="mine")
    with pytest.raises(errors.UsageError) as failure:
        agentlab.make_agent(task, model=idle)
    assert str(failure.value) == "Model 'mine' has no weights, so there is nothing to train. Give it a layer that has some."


class Half(Trainer):
    def loss(self, output, batch, seed):
        return Loss(0.5 * tf.square(batch.reward - output[:, 0]))


def test_a_layer_that_is_frozen_after_the_agent_was_made_still_learns():
    """The optimizer has its variables by then; Keras asks for `compile` again in that case."""
    model = build_model(model_of(), SPEC, 2, 0)
    trainer = Half(learning_rate=0.1)
    build(trainer, SPEC, model)
    before = model.get_weights()
    model.layers[0].trainable = False
    trainer.learn(batch(), seeds.at(1, 1))
    assert all(np.any(one != other) for one, other in zip(before[::2], model.get_weights()[::2], strict=True))
