"""What one forward pass leaves behind, and where it must not be read: losses that layers add, and statistics."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.memory import Latest
from agentlab.model import RecurrentModel, as_network, infer
from agentlab.runs.composition import build_evaluator, make_agent, resolved
from agentlab.runs.model_building import build_model
from agentlab.sampler import Greedy
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.trainer import Loss, Recording, Trainer
from agentlab.types import TimeStep
from agentlab_dqn.trainer import DQN
from agentlab_envs.control.identity import Identity
from making import build, make_batch, tensors

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(2))
SEED = seeds.at(seeds.stream(0, "test"), 0)
HERE, THERE = np.float32([[1, 2], [2, 1]]), np.float32([[10, 0], [0, 30]])
BATCH = make_batch(HERE, np.int64([0, 1]), np.zeros(2, np.float32), np.zeros(2, np.float32), THERE)


def penalized():
    """Outputs are the inputs, which cost their squares, a mean over the batch."""
    squares = keras.regularizers.L2(1.0)
    layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity", activity_regularizer=squares)
    return keras.Sequential([keras.Input((2,)), layer])


PENALTY = 5.0  # of HERE: (1 + 4 + 4 + 1) / 2


class Twice(Trainer):
    """Calls the model again where it must not count: in training, on what comes next, before and after."""

    def loss(self, output, batch, seed):
        self.model(batch.next_observation, training=True)
        return Loss(tf.zeros_like(batch.reward))


# ---- losses that layers add --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainer", [DQN(double=True), DQN(double=False), Twice(), Twice(max_gradient_norm=0.1)], ids=repr)
@pytest.mark.quick("eager-*", "graph-*")
def test_the_losses_of_the_pass_that_is_learned_from_count(compiled, trainer):
    model = penalized()
    trainer = attrs.evolve(trainer, optimizer="sgd", learning_rate=0.1)
    build(trainer, SPEC, model)
    values = HERE[[0, 1], [0, 1]] if isinstance(trainer, DQN) else np.zeros(2)
    own = np.mean(np.where(np.abs(values) <= 1.0, values**2 / 2, np.abs(values) - 0.5))  # Huber's, delta 1
    metrics = compiled(lambda batch, seed: trainer.learn(batch, seed).metrics)(tensors(BATCH), SEED)
    assert float(metrics["loss"]) == pytest.approx(own + PENALTY)
    # the penalty is mean(|W' x|^2), of which the gradient at W = 1 is 2 mean(x x')
    gradient = np.float32([[5, 4], [4, 5]])
    if isinstance(trainer, Twice):
        scale = min(1.0, (trainer.max_gradient_norm or np.inf) / np.linalg.norm(gradient))
        np.testing.assert_allclose(model.get_weights()[0], np.eye(2) - 0.1 * scale * gradient, rtol=1e-5)


def test_a_pass_that_an_author_recorded_brings_its_losses(compiled):
    trainer = build(Twice(optimizer="sgd"), SPEC, penalized())

    @compiled
    def learn(batch):
        with tf.GradientTape() as tape:
            output = trainer.model(batch.observation, training=True)
            recording = Recording(tape, output, sum_of_losses(trainer.model))
            trainer.model(batch.next_observation)  # which a recording that has the losses doesn't mind
        trainer.record(recording)
        return trainer.learn(batch, SEED).metrics["loss"]

    assert float(learn(tensors(BATCH))) == pytest.approx(PENALTY)


@attrs.define(slots=False, eq=False)
class TwiceOnTheSpot(Twice):
    def loss(self, output, batch, seed):
        self.model(batch.next_observation * 100.0, training=True)
        return Loss(tf.zeros_like(batch.reward))


def agent_on_the_spot(execution, rows, spec=SPEC, model=None):
    model = build_model(model or penalized(), spec, 2, 0)
    trainer = TwiceOnTheSpot(optimizer="sgd", learning_rate=0.01)
    return Agent(spec, Parts({"policy": [model]}, Greedy(), trainer, Latest()), rows, 0, execution)


def test_losses_count_in_a_loop_of_ones_own(execution):
    """Also if the agent is asked for an action between its pass and what it learns from it."""
    agent = agent_on_the_spot(execution, 2)
    nothing = np.zeros(2, np.bool_)
    agent.step(TimeStep(HERE, np.zeros(2), nothing, nothing, HERE))
    agent.act(THERE)
    agent.model(THERE)
    agent.step(TimeStep(THERE, np.zeros(2), nothing, nothing, THERE))
    assert agent.learner.means.collect()["loss"] == pytest.approx(PENALTY)
    np.testing.assert_allclose(agent.model.get_weights()[0], np.eye(2) - 0.01 * np.float32([[5, 4], [4, 5]]), rtol=1e-5)


@pytest.mark.parametrize("kind", [DeviceGear, HostGear])
@pytest.mark.quick("graph-*")
def test_losses_count_in_both_gears(execution, kind):
    """Identity shows one-hot symbols: each costs the square of its output, so the weights shrink by (1 - 2 / 4 * rate)."""
    environment = Identity(num_symbols=2)
    model = penalized()
    agent = agent_on_the_spot(execution, 64, environment.spec, model)
    gear = kind(agent, environment if kind is DeviceGear else HostedEnvironment(environment, 64), 0)
    gear.start()
    gear.run(1)
    assert agent.learner.means.collect()["loss"] == pytest.approx(1.0)
    weights = model.get_weights()[0]
    assert np.trace(weights) == pytest.approx(2 - 0.01 * 2.0, rel=1e-5)  # the shares of both symbols are 1 together
    assert weights[0, 1] == weights[1, 0] == 0.0


# ---- what a pass changes ------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="test_forward_passes")
class Counter(keras.layers.Layer):
    """Counts its calls, in training and not, and adds what it has counted to what it passes on, and some random noise."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.whole = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="int32", name="whole")
        self.generator = keras.random.SeedGenerator(1)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        self.whole.assign_add(1)
        noise = keras.random.normal(tf.shape(inputs), seed=self.generator)
        return inputs + self.calls + tf.cast(self.whole, tf.float32) + noise


@keras.saving.register_keras_serializable(package="test_forward_passes")
class Carrying(RecurrentModel):
    def __init__(self):
        super().__init__()
        self.counter, self.last = Counter(), keras.layers.Dense(2)

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 1])

    def call(self, observation, state, training=False):
        return self.last(self.counter(observation)), state + 1.0


def sequence(*layers):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), *layers, keras.layers.Dense(2)])


def with_frozen_and_wide_layers():
    model = sequence(keras.layers.Dense(3, dtype="float64"), keras.layers.BatchNormalization(dtype="mixed_bfloat16"))
    model.layers[0].trainable = False
    return model


@keras.saving.register_keras_serializable(package="test_forward_passes")
class Decorated(keras.layers.Layer):
    """A layer with control flow on tensors, for which the docs say to decorate `call`."""

    def __init__(self):
        super().__init__()
        self.dense, self.normalization = keras.layers.Dense(4), keras.layers.BatchNormalization()

    @tf.function
    def call(self, inputs, training=False):
        outputs = self.normalization(self.dense(inputs), training=training)
        if tf.reduce_sum(outputs) > 100.0:
            outputs = outputs / 2.0
        return outputs


MODELS = {
    "batch normalization": lambda: sequence(keras.layers.BatchNormalization(), keras.layers.ReLU()),
    "dropout": lambda: sequence(keras.layers.Dropout(0.5)),
    "counting": lambda: sequence(Counter()),
    "frozen and wide": with_frozen_and_wide_layers,
    "decorated": lambda: sequence(Decorated()),
    "spectral": lambda: sequence(keras.layers.SpectralNormalization(keras.layers.Dense(4))),
}


def values(variables):
    return [variable.numpy() for variable in variables]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.fixture(params=[0, 50_000], ids=["large", "small"])
def _of_either_size(request, monkeypatch):
    monkeypatch.setattr("agentlab.tensors.parameters.FUSED_SIZE", request.param)


@pytest.mark.pairwise
@pytest.mark.usefixtures("_of_either_size")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.slow
def test_a_target_network_that_has_not_moved_answers_alike(compiled, make):
    model = build_model(make(), SPEC, 2, 0)
    trainer = DQN(target_update_period=10**6, learning_rate=0.1)
    build(trainer, SPEC, model)
    observations = tf.constant(HERE)
    learn = compiled(lambda batch, seed: trainer.learn(batch, seed).metrics)
    before, weights = trainer.target.output(observations).numpy(), values(model.variables)
    for step in range(3):
        learn(tensors(BATCH), seeds.at(7, step))
    np.testing.assert_array_equal(trainer.target.output(observations), before)
    changed = [np.any(old != new.numpy()) for old, new in zip(weights, model.variables, strict=True)]
    assert any(changed)
    assert any(c for c, v in zip(changed, model.variables, strict=True) if not v.trainable)


@pytest.mark.pairwise
@pytest.mark.usefixtures("_of_either_size")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.quick("*-graph-*")
def test_a_target_network_follows_in_all_that_decides_an_output(compiled, make):
    model = build_model(make(), SPEC, 2, 0)
    target = TargetNetwork(model, 2, 1.0)
    generator = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(generator.integers(0, 9, variable.shape).astype(np.float32) + 1.0)
    follow, observations = compiled(target.follow), tf.constant(HERE)
    expected = infer(model, observations)[0].numpy()
    follow()
    assert np.abs(target.output(observations) - expected).max() > 0
    follow()
    np.testing.assert_allclose(target.output(observations), expected, rtol=1e-6)


@pytest.mark.slow
def test_every_weight_of_a_model_with_a_decorated_call_is_trained(compiled):
    """Whichever network is asked first: each has a trace of its own."""
    model = build_model(sequence(Decorated()), SPEC, 2, 0)
    trainer = DQN(optimizer="sgd", learning_rate=0.1, target_update_period=1)
    build(trainer, SPEC, model)
    observations, learn = tf.constant(HERE), compiled(lambda batch, seed: trainer.learn(batch, seed).metrics)
    trainer.target.output(observations)
    before = values(model.trainable_variables)
    for step in range(3):
        learn(tensors(BATCH), seeds.at(7, step))
        np.testing.assert_allclose(trainer.target.output(observations), model(observations, training=False), rtol=1e-5)
    assert all(np.any(old != new.numpy()) for old, new in zip(before, model.trainable_variables, strict=True))


def test_statistics_move_by_the_rate_and_whole_numbers_are_copied(compiled):
    model = sequence(keras.layers.BatchNormalization(), Counter())
    target = TargetNetwork(model, 1, 0.25)
    normalization, counter = model.layers[1], model.layers[2]
    normalization.moving_mean.assign([4.0, 8.0, 0.0, -4.0])
    counter.whole.assign(8)
    compiled(target.follow)()
    held = {variable.path: value.numpy() for variable, value in target.values()}
    np.testing.assert_allclose(held[normalization.moving_mean.path], [1.0, 2.0, 0.0, -1.0])
    assert held[counter.whole.path] == 8


@pytest.mark.parametrize("make", [*MODELS.values(), Carrying], ids=[*MODELS, "recurrent"])
@pytest.mark.quick("eager-*", "graph-*")
def test_only_a_pass_in_training_changes_a_models_variables(compiled, make):
    model = build_model(make(), SPEC, 2, 0)
    state = model.initial_state(2) if isinstance(model, RecurrentModel) else ()
    before = values(model.variables)
    output = compiled(lambda observation: as_network(model)(observation, state)[0])
    one, other = output(tf.constant(HERE)).numpy(), output(tf.constant(HERE)).numpy()
    np.testing.assert_array_equal(one, other)
    assert_same(before, values(model.variables))


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.slow
def test_bootstrapping_leaves_the_models_statistics_alone(compiled, double):
    model = sequence(Counter(), keras.layers.BatchNormalization(momentum=0.0))
    trainer = DQN(double=double, learning_rate=0.0)
    build(trainer, SPEC, model)
    compiled(lambda batch, seed: trainer.learn(batch, seed).metrics)(tensors(BATCH), SEED)
    assert float(model.layers[1].calls) == 1.0  # one pass, that over `observation`


def test_acting_and_judging_leave_a_model_as_it_is(execution):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), Counter(), keras.layers.Dense(2)])
    changes = {"execution": execution, "environment": {"name": "cartpole"}, "evaluation": {"environment": {"name": "cartpole"}}}
    task = resolved("dqn", changes)
    agent = make_agent(task, model=model)
    before = values(model.variables)
    agent.act(np.zeros(4, np.float32))
    build_evaluator(task, 0, agent, episodes=2).run()
    assert_same(before, values(model.variables))
