"""Built-in models as plain Keras models: saved, loaded and cloned by Keras, and the same under any of its settings."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import preloaded
from agentlab import seeds
from agentlab.model import as_network
from agentlab.registry import plugins
from agentlab.runs.composition import build_part
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary, MultiDiscrete, leaves_of, map_space, pairs_of
from agentlab.task import part
from agentlab.tensors import noise
from agentlab.testing.probes.keras_process import settings_of_keras
from agentlab_models.attention import Block, CachedAttention
from agentlab_models.noisy import NoisyDense
from agentlab_models.recurrence.layers import GRU, LSTM, RecurrentStack, UnitDropout
from paths import HELPERS

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, as it saves

FRAMES = EnvironmentSpec("frames", Array((3, 9, 10), "uint8", 0, 255), Discrete(4))
IMAGES = EnvironmentSpec("images", Array((9, 10, 3), "float32", 0.0, 1.0), Discrete(4))
TEXT = EnvironmentSpec("text", Array((6,), "int64", 0, 4), Discrete(5, shape=(6,)))
LETTER = EnvironmentSpec("letter", Array((1,), "int64", 0, 4), Discrete(5))
SIDES = {"left": Array((2, 2), "uint8", 0, 255), "right": Discrete(3)}
SEVERAL = EnvironmentSpec("several", {"one": SIDES, "other": SIDES, "a/b": MultiBinary((2,))}, Discrete(4))
CHOICES = EnvironmentSpec("choices", MultiDiscrete((2, 3)), Discrete(4))
MASKED = EnvironmentSpec("masked", {"position": Array((3,)), "action_mask": MultiBinary((4,))}, Discrete(4))
RECALLED = EnvironmentSpec(
    "recalled", {"observation": Array((3,)), "previous_action": Discrete(4), "previous_reward": Array(())}, Discrete(4)
)
SMALL = {"convolutions": ((2, 3, 1),), "hidden_units": (5,)}
CASES = {  # of every installed model at least one
    "linear": (IMAGES, {"initializer": "glorot_uniform"}),
    "mlp": (IMAGES, {"hidden_units": (5, 4)}),
    "linear, choices": (CHOICES, {"initializer": "glorot_uniform"}),
    "mlp, masked": (MASKED, {"hidden_units": (5,)}),
    "mlp, several": (SEVERAL, {"hidden_units": (5,)}),
    "mlp-functional, several": (SEVERAL, {"hidden_units": (5,), "dueling": True, "noise": 0.5}),
    "mlp-subclassed, several": (SEVERAL, {"hidden_units": (5,)}),
    "mlp, dueling and noisy": (IMAGES, {"hidden_units": (5, 4), "dueling": True, "noise": 0.5}),
    "mlp-functional": (IMAGES, {"hidden_units": (5,), "activation": "gelu", "noise": 0.5}),
    "mlp-functional, dueling": (IMAGES, {"hidden_units": (5,), "dueling": True}),
    "mlp-subclassed": (IMAGES, {"hidden_units": (5,)}),
    "mlp-subclassed, dueling and noisy": (IMAGES, {"hidden_units": (5,), "dueling": True, "noise": 0.5}),
    "cnn": (IMAGES, {"filters": (2, 3), "hidden_units": 5, "dropout": 0.5}),
    "cnn, dueling and noisy": (IMAGES, {"filters": (2,), "hidden_units": 5, "dropout": 0.5, "dueling": True, "noise": 0.5}),
    "cnn-functional": (IMAGES, {"filters": (2,), "hidden_units": 5}),
    "cnn-subclassed": (IMAGES, {"filters": (2,), "hidden_units": 5, "dropout": 0.5}),
    "cnn-normalized": (IMAGES, {"stem": 2, "stages": ((2, 2),)}),
    "nature-cnn": (IMAGES, SMALL),
    "nature-cnn, frames": (FRAMES, {**SMALL, "channels": "first", "dueling": True, "noise": 0.5}),
    "lstm": (TEXT, {"units": 3, "layers": 2, "dropout": 0.5}),
    "lstm, embedding": (LETTER, {"units": 3, "embedding": 2}),
    "gru": (TEXT, {"units": 3}),
    "gru, embedding": (LETTER, {"units": 3, "layers": 2, "embedding": 2, "dropout": 0.5}),
    "lstm, features": (IMAGES, {"units": 3, "layers": 2, "dropout": 0.5, "hidden_units": (4,)}),
    "gru, several": (SEVERAL, {"units": 3}),
    "gpt, several": (SEVERAL, {"units": 8, "layers": 1, "heads": 2, "context": 3, "dropout": 0.5}),
    "gpt": (TEXT, {"units": 8, "layers": 2, "heads": 2, "context": 4, "dropout": 0.5}),
    "decision-transformer": (RECALLED, {"units": 8, "layers": 1, "heads": 2, "context": 3, "dropout": 0.5}),
    "gpt, letters": (LETTER, {"units": 8, "layers": 1, "heads": 1, "context": 4}),
}
cases = pytest.mark.parametrize("case", CASES)
one_of_each_style = pytest.mark.quick(
    "linear", "mlp-subclassed, dueling and noisy", "cnn", "gru", "lstm, features", "gpt, several"
)


def spec_of(case):
    return CASES[case][0]


def built(case, seed=0):
    spec, settings = CASES[case]
    return build_model(build_part("model", part(case.partition(",")[0], **settings)), spec, spec.action.num_values, seed)


@functools.cache
def trained(case):
    """A model no variable of which is as it began; the same one for all tests, which change none."""
    model, generator = built(case), np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(generator.integers(1, 9, variable.shape) / (8 if variable.dtype == "float32" else 1))
    return model


def observations(spec):
    generator = np.random.default_rng(1)
    return map_space(lambda leaf: generator.integers(0, 2, (2, *leaf.shape)).astype(leaf.dtype), spec.seen)


def outputs(model, spec, seed=None):
    with noise.drawn_from(seed):
        network = as_network(model)
        return network(tf.nest.map_structure(tf.constant, observations(spec)), network.initial_state(2))[0].numpy()


def as_json(config):
    return json.loads(json.dumps(config))


def assert_same(model, other, spec):
    for one, two in zip(model.weights, other.weights, strict=True):  # Keras saves no state of random generators
        assert (one.dtype, one.trainable) == (two.dtype, two.trainable)
        np.testing.assert_array_equal(one, two)
    for seed in (None, seeds.at(1, 2)):
        np.testing.assert_array_equal(outputs(model, spec, seed), outputs(other, spec, seed))


def test_every_installed_model_is_among_the_cases():
    offered = {offer.name for offer in plugins.offers("model") if offer.package == "agentlab"}
    assert {case.partition(",")[0] for case in CASES} == offered


# ---- saved, loaded and cloned --------------------------------------------------------------------------------------------


@cases
@one_of_each_style
def test_keras_saves_and_loads_a_model(case, tmp_path):
    model = trained(case)
    model.save(tmp_path / "model.keras")
    assert_same(model, keras.models.load_model(tmp_path / "model.keras"), spec_of(case))


@cases
@one_of_each_style
def test_keras_makes_a_model_again_of_its_configuration(case):
    model = trained(case)
    config = as_json(keras.saving.serialize_keras_object(model))
    again = keras.saving.deserialize_keras_object(as_json(config))  # a copy, which Keras empties
    for one, two in zip(model.variables, again.variables, strict=True):
        two.assign(one)
    assert_same(model, again, spec_of(case))
    assert as_json(keras.saving.serialize_keras_object(again)) == config


@cases
@one_of_each_style
def test_keras_clones_a_model(case):
    model = trained(case)
    clone = keras.models.clone_model(model)
    assert all(one is not two for one, two in zip(model.variables, clone.variables, strict=True))
    for one, two in zip(model.variables, clone.variables, strict=True):
        two.assign(one)
    assert_same(model, clone, spec_of(case))


@cases
@one_of_each_style
def test_keras_saves_and_loads_weights(case, tmp_path):
    model, other = trained(case), built(case, seed=1)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, other, spec_of(case))


@pytest.mark.slow
def test_keras_loads_models_in_another_process(tmp_path):
    for index, case in enumerate(CASES):
        model = trained(case)
        model.save(tmp_path / f"{index}.keras")
        seen, arrays = spec_of(case).seen, observations(spec_of(case))
        names = [f"shown/{path}" if path else "shown" for path in leaves_of(seen)]
        leaves = dict(zip(names, (value for _, value in pairs_of(seen, arrays)), strict=True))
        np.savez(tmp_path / f"{index}.npz", expected=outputs(model, spec_of(case)), **leaves)
    code, output, complaint = preloaded.run(HELPERS / "loading_models.py", tmp_path, [str(tmp_path)], strict=False)
    assert code == 0, complaint
    assert output == f"{len(CASES)} models\n"


LAYERS = {
    "noisy": (lambda: NoisyDense(3, "layer", "relu", 0.25), (2, 4)),
    "unit dropout": (lambda: UnitDropout(0.5), (2, 4)),
    "lstm": (lambda: LSTM(3, return_sequences=True), (2, 5, 4)),
    "gru": (lambda: GRU(3), (2, 5, 4)),
    "stack": (lambda: RecurrentStack([LSTM(3), GRU(2)], dropout=0.25), (2, 5, 4)),
}


@pytest.mark.parametrize("make", [*[make for make, _ in LAYERS.values()]], ids=LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_are_made_again_of_their_configuration(make, dtype):
    shape = next(shape for other, shape in LAYERS.values() if other is make)
    with settings_of_keras(floatx=dtype):
        layer = make()
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), dtype)
    expected = layer(inputs)
    again = type(layer).from_config(as_json(layer.get_config()))
    again(inputs)
    again.set_weights(layer.get_weights())
    for one, two in zip(tf.nest.flatten(expected), tf.nest.flatten(again(inputs)), strict=True):
        assert one.dtype == dtype
        np.testing.assert_array_equal(one, two)
    assert as_json(again.get_config()) == as_json(layer.get_config())


@pytest.mark.parametrize("layer", [CachedAttention(2, 8, 3, 0.1), Block(2, 8, 3, 4, 0.25)], ids=lambda layer: layer.name)
def test_parts_of_the_transformer_are_made_again_of_their_configuration(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    layer.build((None, 6, 8))
    again.build((None, 6, 8))
    assert [weight.shape for weight in layer.weights] == [weight.shape for weight in again.weights]


@cases
@one_of_each_style
def test_a_saved_model_is_the_same_under_other_settings_of_keras(case, tmp_path):
    model = trained(case)
    model.save(tmp_path / "model.keras")
    with settings_of_keras(policy="mixed_float16", data_format="channels_first"):
        assert_same(model, keras.models.load_model(tmp_path / "model.keras"), spec_of(case))


@pytest.mark.slow
@cases
@one_of_each_style
def test_a_name_stands_for_the_same_model_under_any_settings_of_keras(case):
    expected = built(case)
    for settings in ({"floatx": "float64", "data_format": "channels_first"}, {"policy": "mixed_float16"}):
        with settings_of_keras(**settings):
            assert_same(expected, built(case), spec_of(case))
