"""Dueling heads, noisy layers and the strided network, against numbers worked by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

import agentlab
from agentlab import errors, seeds
from agentlab.loop.agent import Agent, Parts
from agentlab.runs.composition import build_part
from agentlab.runs.model_building import build_model
from agentlab.sampler import Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import part
from agentlab.tensors import noise
from agentlab_dqn.trainer import DQN
from agentlab_memories.replay import UniformReplay
from agentlab_models.cnn import CNN
from agentlab_models.heads import Dueling
from agentlab_models.mlp import MLP, FunctionalMLP, SubclassedMLP
from agentlab_models.nature import NatureCNN
from agentlab_models.noisy import NoisyDense
from agentlab_models.regularized import SeededDropout
from making import build, make_batch

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(3))
KEY = seeds.stream(0, "test")
SEED = seeds.at(KEY, 0)


# ---- dueling -----------------------------------------------------------------------------------------------------------


def linear(weights):
    return keras.layers.Dense(
        np.shape(weights)[1], use_bias=False, kernel_initializer=lambda shape, dtype: tf.constant(weights, dtype, shape)
    )


def test_dueling_by_hand(compiled):
    """Values 2 x + y; advantages x, y and x + y + 3, less their mean."""
    head = Dueling([linear([[2], [1]])], [linear([[1, 0, 1], [0, 1, 1]])], atoms=1)
    values = compiled(head)(tf.constant([[1.0, 0.0], [3.0, 6.0]]))
    # value 2, advantages 1 0 1; value 12, advantages 3 6 9
    np.testing.assert_allclose(values, [[2 + 1 / 3, 2 - 2 / 3, 2 + 1 / 3], [9, 12, 15]], rtol=1e-6)


def test_dueling_of_distributions_by_hand(compiled):
    """Two outputs for each of two actions: the mean over actions is taken for each output by itself."""
    head = Dueling([linear([[1, 10]])], [linear([[0, 2, 4, 6]])], atoms=2)
    # value 1 10; advantages 0 2 and 4 6, mean 2 4
    np.testing.assert_allclose(compiled(head)(tf.constant([[1.0]])), [[-1, 8, 3, 12]])


@pytest.mark.parametrize("kind", [MLP, FunctionalMLP, SubclassedMLP])
@pytest.mark.parametrize("noise_amplitude", [None, 0.5])
def test_the_last_hidden_layer_is_there_twice(kind, noise_amplitude):
    model = build_model(kind(hidden_units=(5, 7), dueling=True, noise=noise_amplitude), SPEC, 6, 0)
    shapes = {tuple(weight.shape) for weight in model.trainable_weights if len(weight.shape) == 2}
    assert shapes == {(2, 5), (5, 7), (7, 2), (7, 6)}
    assert model.count_params() == ((2 + 1) * 5 + 2 * (5 + 1) * 7 + (7 + 1) * (2 + 6)) * (1 if noise_amplitude is None else 2)


def test_a_dueling_network_needs_actions_to_tell_apart():
    spec = EnvironmentSpec("arm", Array((2,)), Array((3,)))
    with pytest.raises(errors.UsageError) as failure:
        build_model(MLP(dueling=True), spec, 3, 0)
    assert str(failure.value) == (
        "A dueling network has outputs for each of several actions; environment 'arm' takes a float32 array of shape (3,) "
        "and the trainer wants 3 outputs. Set model.dueling=false."
    )


# ---- noise -------------------------------------------------------------------------------------------------------------


def noisy(units=2, inputs=3, **settings):
    layer = NoisyDense(units, "layer", **settings)
    layer.build((None, inputs))
    return layer


def test_a_noisy_layer_by_hand(compiled):
    """What the definition says, element by element, of the noise that the layer drew."""
    layer = noisy()
    generator = np.random.default_rng(0)
    kernel, bias, kernel_noise, bias_noise = (
        generator.normal(size=shape).astype(np.float32) for shape in ((3, 2), (2,), (3, 2), (2,))
    )
    layer.set_weights([kernel, bias, kernel_noise, bias_noise])
    inputs = generator.normal(size=(4, 3)).astype(np.float32)

    @compiled
    def called(inputs):
        with noise.drawn_from(SEED):
            return layer(inputs), *layer.draw(SEED)

    outputs, of_inputs, of_outputs = (tensor.numpy() for tensor in called(tf.constant(inputs)))
    noisy_kernel = kernel + kernel_noise * np.outer(of_inputs, of_outputs)
    np.testing.assert_allclose(outputs, inputs @ noisy_kernel + bias + bias_noise * of_outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(compiled(layer)(tf.constant(inputs)), inputs @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_noise_is_scaled_as_the_paper_says():
    """f(z) = sign(z) sqrt(|z|): its square is a standard normal number's size, and the two ends are independent."""
    layer = noisy(inputs=1_000, units=1_000)
    of_inputs, of_outputs = np.concatenate([layer.draw(seeds.at(KEY, step)) for step in range(50)], axis=1)
    for drawn in (of_inputs, of_outputs):
        normal = np.sign(drawn) * drawn**2
        assert normal.mean() == pytest.approx(0.0, abs=0.02)
        assert normal.std() == pytest.approx(1.0, abs=0.02)
        assert (np.abs(normal) < 1.0).mean() == pytest.approx(0.6827, abs=0.01)
        assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(of_inputs, of_outputs)[0, 1]) < 0.02


def test_layers_streams_and_seeds_draw_independently():
    def drawn(stream, seed):
        layer = NoisyDense(1, stream)
        layer.build((None, 200))
        return layer.draw(seed)[0].numpy()

    first = drawn("one", SEED)
    np.testing.assert_array_equal(first, drawn("one", SEED))
    for other in (drawn("two", SEED), drawn("one", seeds.at(KEY, 1)), drawn("one", seeds.child(SEED, "target"))):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.3


@pytest.mark.parametrize("amplitude", [None, 0.5])
@pytest.mark.slow
def test_what_is_learned_does_not_depend_on_how_many_layers_were_made_before(amplitude, monkeypatch):
    """Counted up, noisy_dense_9 and noisy_dense_10 change places in the order of names, by which a graph is rewritten."""
    spec = EnvironmentSpec("picture", Array((10, 10, 4), "float32", 0.0, 1.0), Discrete(6))
    generator = np.random.default_rng(0)
    observations, following = (tf.constant(generator.random((32, 10, 10, 4), np.float32)) for _ in range(2))
    action, reward = tf.constant(generator.integers(0, 6, 32)), tf.constant(generator.normal(size=32).astype(np.float32))
    batch = make_batch(observations, action, reward, tf.ones([32]), following)

    def learned():
        trainer = DQN(num_atoms=51, optimizer="sgd")
        settings = {"convolutions": ((16, 3, 1),), "hidden_units": (32,), "dueling": True, "noise": amplitude}
        build(trainer, spec, build_model(NatureCNN(**settings), spec, trainer.distribution(spec).num_outputs, 0))
        learn = tf.function(trainer.learn)
        for step in range(3):
            learn(batch, seeds.at(KEY, step))
        return trainer.model.get_weights()

    first, numbers = learned(), global_state.get_global_attribute("object_name_uids")
    for before in (1, 2, 3):  # the tenth
        for layer in ("dense", "noisy_dense"):
            monkeypatch.setitem(numbers, layer, 10 - before)
        for one, other in zip(learned(), first, strict=True):
            np.testing.assert_array_equal(one, other)


def test_normal_numbers_are_normal(compiled):
    drawn = compiled(lambda seed: seeds.normal(seed, [200_000]))(SEED).numpy()
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert drawn.mean() == pytest.approx(0.0, abs=0.01)
    assert drawn.std() == pytest.approx(1.0, abs=0.01)
    for limit, share in ((1.0, 0.6827), (2.0, 0.9545), (3.0, 0.9973)):
        assert (np.abs(drawn) < limit).mean() == pytest.approx(share, abs=0.005)
    np.testing.assert_allclose(drawn, seeds.normal(SEED, [200_000]), rtol=1e-3, atol=1e-5)  # in the tails


def test_the_rarest_normal_numbers_are_finite(compiled):
    """The ends and the middle of what a uniform draw can be: one in 2**24 of them would otherwise ruin a network."""
    step = 2.0**-24
    unit = tf.constant([0.0, step, 0.5 - step, 0.5, 1.0 - 2 * step, 1.0 - step])
    values = compiled(seeds._normal_at)(unit).numpy()
    assert values[0] == pytest.approx(-5.42, abs=0.02)
    np.testing.assert_allclose(values, -values[::-1], rtol=1e-5)
    assert (np.diff(values) > 0).all()


def test_the_first_amplitudes_are_the_papers():
    layer = noisy(inputs=16, units=3, noise=0.5)
    kernel, bias, kernel_noise, bias_noise = layer.get_weights()
    assert np.abs(kernel).max() <= 0.25
    assert np.abs(bias).max() <= 0.25
    assert kernel.std() == pytest.approx(0.25 / 3**0.5, rel=0.2)
    assert set(np.concatenate([kernel_noise.ravel(), bias_noise])) == {np.float32(0.125)}


@pytest.mark.slow
def test_an_agent_explores_by_noise_and_is_judged_without():
    trainer = DQN(num_atoms=5, optimizer="sgd")
    num_outputs = trainer.distribution(SPEC).num_outputs
    model = build_model(MLP(hidden_units=(8,), noise=3.0, dueling=True), SPEC, num_outputs, 0)
    agent = Agent(SPEC, Parts({"values": [model]}, Greedy(), trainer, UniformReplay(10, 4)), 2)
    observation = tf.ones([2, 2])
    decided = [agent.learner.decide(observation, ()).action.numpy() for _ in range(50)]
    assert {tuple(actions) for actions in decided} == {(0, 0), (1, 1), (2, 2)}, "every step has its own noise, for all its rows"
    assert len({tuple(agent.act(observation.numpy())) for _ in range(50)}) == 1
    with noise.drawn_from(SEED):
        assert len({tuple(agent.act(observation.numpy())) for _ in range(50)}) == 1


class Watched(keras.layers.Layer):
    """Passes on what it gets and keeps the seeds of the calls."""

    def __init__(self):
        super().__init__()
        self.seeds = []

    def call(self, inputs):
        self.seeds.append(noise.present_seed())
        return inputs


def test_the_networks_of_an_update_have_noise_of_their_own():
    watched = Watched()
    model = keras.Sequential([keras.Input((2,)), watched, keras.layers.Dense(3)])
    trainer = DQN(double=True)
    build(trainer, SPEC, model)
    watched.seeds.clear()
    batch = make_batch(tf.ones([4, 2]), tf.zeros([4], tf.int64), tf.zeros([4]), tf.ones([4]), tf.ones([4, 2]))
    trainer.learn(batch, SEED)
    assert len({tuple(seed.numpy()) for seed in watched.seeds}) == len(watched.seeds) == 3


# ---- convolutions ------------------------------------------------------------------------------------------------------

FRAMES = EnvironmentSpec("frames", Array((4, 84, 84), "uint8", 0, 255), Discrete(6))
GRID = EnvironmentSpec("grid", Array((10, 10, 4), "uint8", 0, 1), Discrete(3))


def test_the_nature_network_is_that_of_the_paper():
    model = build_model(NatureCNN(channels="first"), FRAMES, 6, 0)
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert shapes[::2] == [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64), (3_136, 512), (512, 6)]
    assert model.count_params() == 1_687_206


@pytest.mark.parametrize("channels", ["first", "last"])
def test_the_shorter_axis_can_be_taken_for_the_channels(channels):
    shape = (4, 84, 84) if channels == "first" else (84, 84, 4)
    spec = EnvironmentSpec("frames", Array(shape, "uint8", 0, 255), Discrete(6))
    auto, named = (build_model(NatureCNN(channels=name), spec, 6, 0) for name in ("auto", channels))
    assert [type(layer) for layer in auto.layers] == [type(layer) for layer in named.layers]
    assert auto.count_params() == 1_687_206


def test_the_small_network_is_that_of_the_paper():
    model = build_model(NatureCNN(convolutions=((16, 3, 1),), hidden_units=(128,)), GRID, 3, 0)
    assert [tuple(weight.shape) for weight in model.weights][::2] == [(3, 3, 4, 16), (1_024, 128), (128, 3)]


def test_pixels_are_scaled_and_stacks_turned_by_hand(compiled):
    """One filter of 1 x 1 pixel over two stacked frames: 255 counts 1."""
    spec = EnvironmentSpec("pair", Array((2, 1, 2), "uint8", 0, 255), Discrete(2))
    model = build_model(NatureCNN(convolutions=((1, 1, 1),), hidden_units=(), channels="first"), spec, 2, 0)
    model.set_weights([np.float32([[[[10], [1]]]]), np.zeros(1), np.eye(2), np.zeros(2)])
    frames = np.uint8([[[[255, 0]], [[51, 102]]]])
    outputs = compiled(lambda frame: model(frame))(tf.constant(frames))
    np.testing.assert_allclose(outputs, [[10 + 0.2, 0 + 0.4]], rtol=1e-6)


@pytest.mark.parametrize("settings", [{"dueling": True}, {"noise": 0.5}, {"dueling": True, "noise": 0.5}], ids=str)
@pytest.mark.parametrize("kind", [NatureCNN, CNN])
def test_convolutional_networks_take_every_head(kind, settings):
    convolutions = {"convolutions": ((2, 3, 1),), "hidden_units": (8,)} if kind is NatureCNN else {"filters": (2,)}
    spec = EnvironmentSpec("grid", Array((10, 10, 4), minimum=0.0, maximum=1.0), Discrete(3))
    model = build_model(kind(**convolutions, **settings), spec, 9, 0)
    blank = tf.zeros((2, 10, 10, 4))
    assert model(blank).shape == (2, 9)
    with noise.drawn_from(SEED):
        noisy = model(blank).numpy()
    assert np.array_equal(noisy, model(blank)) == ("noise" not in settings)


@pytest.mark.parametrize(
    ("observation", "wording"),
    [
        (Array((4,)), "a float32 array of shape (4,) in -inf to inf"),
        (Array((4, 35, 84), "uint8", 0, 255), "a uint8 array of shape (4, 35, 84) in 0 to 255"),
        (Array((4, 84, 84)), "a float32 array of shape (4, 84, 84) in -inf to inf"),
    ],
)
def test_what_is_no_image_is_refused(observation, wording):
    spec = EnvironmentSpec("view", observation, Discrete(2))
    with pytest.raises(errors.UsageError) as failure:
        build_model(NatureCNN(channels="first"), spec, 2, 0)
    assert str(failure.value) == (
        "These convolutions need images [channels, height, width] of numbers from 0 up and 36 pixels or more to a side; "
        f"environment 'view' shows {wording}. Choose model 'mlp', or set model.convolutions and model.channels."
    )


def test_impossible_convolutions_are_refused():
    with pytest.raises(errors.UsageError) as failure:
        build_part("model", part("nature-cnn", convolutions=((32, 8),)))
    assert str(failure.value) == (
        "Wrong setting of model 'nature-cnn': 'convolutions' must be lists of filters, side and stride, each at least 1: "
        "((32, 8),)."
    )


@pytest.mark.parametrize("model", [{"name": "mlp", "noise": 0.5}, {"name": "cnn", "filters": [4]}, {"name": "cnn-normalized"}])
def test_pixels_are_taken_as_whole_numbers(model):
    agent = agentlab.make_agent("dqn-minatar-breakout", changes={"model": model})
    observations = np.random.default_rng(0).integers(0, 2, (5, *agent.spec.observation.shape)).astype(np.uint8)
    assert agent.act(observations).shape == (5,)


# ---- dropout and normalization -------------------------------------------------------------------------------------------


def test_dropout_drops_a_share_and_scales_up_the_rest(compiled):
    layer = SeededDropout(0.25, "hidden")

    @compiled
    def call(inputs):
        with noise.drawn_from(SEED):
            learning = layer(inputs)
        return learning, layer(inputs)

    inputs = tf.ones([200, 100])
    learning, free = call(inputs)
    np.testing.assert_array_equal(free, inputs)
    assert set(np.unique(learning)) == {np.float32(0.0), np.float32(1.0) / np.float32(0.75)}
    assert np.mean(learning.numpy() == 0.0) == pytest.approx(0.25, abs=0.01)
    with noise.drawn_from(SEED):
        np.testing.assert_array_equal(learning, layer(inputs))  # by every execution the same


def test_layers_drop_independently():
    with noise.drawn_from(SEED):
        one, other = (SeededDropout(0.5, name)(tf.ones([100, 100])) for name in ("one", "other"))
    assert np.mean(one.numpy() == other.numpy()) == pytest.approx(0.5, abs=0.05)


KINDS = {
    "layer": ["Dense", "SeededDropout", "LayerNormalization", "Activation", "Dense"],
    "batch": ["BatchNormalization", "Dense", "SeededDropout", "BatchNormalization", "Dense"],
    None: ["Dense", "SeededDropout", "Dense"],
}


@pytest.mark.parametrize("normalization", KINDS)
@pytest.mark.parametrize("kind", [MLP, FunctionalMLP, SubclassedMLP])
def test_a_perceptron_is_normalized(kind, normalization):
    builder = kind(hidden_units=(5,), normalization=normalization, dropout=0.1)
    assert [type(layer).__name__ for layer in builder.layers(SPEC, 3)] == KINDS[normalization]
    model = build_model(builder, SPEC, 3, 0)
    assert model(tf.ones([4, 2])).shape == (4, 3)


@pytest.mark.parametrize("wrong", [{"dropout": 1.0}, {"dropout": -0.1}, {"normalization": "group"}])
def test_impossible_regularization_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        MLP(**wrong)
