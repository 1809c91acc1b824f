"""DQN against numbers worked by hand, with linear models, by every execution."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, seeds
from agentlab.model import RecurrentModel
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors.parameters import FUSED_SIZE
from agentlab.types import Batch, Decision, Step, TimeStep
from agentlab_dqn.returns import huber, td_targets
from agentlab_dqn.trainer import DQN
from making import build, make_batch, tensors

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(2))
SEED = seeds.at(seeds.stream(0, "trainer"), 0)
MODEL = np.float32([[1, 2], [3, 5]])  # values: [1, 0] -> [1, 2]; [0, 1] -> [3, 5]; [1, 1] -> [4, 7]
TARGET = np.float32([[10, 0], [0, 20]])  # values: [1, 0] -> [10, 0]; [0, 1] -> [0, 20]; [1, 1] -> [10, 20]

# Row by row: bootstraps where the networks disagree; where they agree; terminated; terminated, and a small error.
BATCH = make_batch(
    observation=np.float32([[1, 0], [0, 1], [1, 1], [1, 0]]),
    action=np.int64([0, 1, 0, 1]),
    reward=np.float32([1, 2, -1, 1.5]),
    discount=np.float32([1, 1, 0, 0]),
    next_observation=np.float32([[1, 0], [0, 1], [1, 1], [1, 0]]),
)
# values of the actions taken: 1, 5, 4, 2; with a discount factor of 0.5 the targets are
#   double: 1 + 0.5 * 0 = 1, 2 + 0.5 * 20 = 12, -1, 1.5    so the errors are 0, 7, -5, -0.5
#   single: 1 + 0.5 * 10 = 6, 12, -1, 1.5                   so the errors are 5, 7, -5, -0.5
GRADIENT = np.float32([[0.25, 0.125], [0.25, -0.25]])  # of the mean Huber loss (delta 1, double)
NORM = float(np.sqrt(3 * 0.25**2 + 0.125**2))


def linear_model(weights=MODEL):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([weights])
    return model


def built(model=None, target=TARGET, **settings):
    """Returns a DQN whose target network has the weights `target`, and its model."""
    model = linear_model() if model is None else model
    weights = model.get_weights()
    if target is not None:
        model.set_weights([target])
    trainer = DQN(**{"discount": 0.5, "optimizer": "sgd", "learning_rate": 1.0, **settings})
    build(trainer, SPEC, model)
    model.set_weights(weights)
    return trainer, model


def target_weights(trainer):
    (held,) = (variable for name, variable in trainer.variables().items() if name.startswith("target/held"))
    return held.numpy().reshape(2, 2)


@pytest.fixture(params=[0, FUSED_SIZE], ids=["large", "small"])
def _of_either_size(request, monkeypatch):
    """Has the network count as a large one, or as the small one that it is."""
    monkeypatch.setattr("agentlab.tensors.parameters.FUSED_SIZE", request.param)


def test_td_targets_by_hand(compiled):
    targets = compiled(td_targets)(
        tf.constant([1.0, 2.0, 3.0]),
        tf.constant([0.5, 0.0, 1.0]),
        tf.constant([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0], [-4.0, -5.0, -6.0]]),
        tf.constant([2, 0, 1], tf.int64),
    )
    assert targets.numpy().tolist() == [16.0, 2.0, -2.0]


@pytest.mark.parametrize(
    ("delta", "expected"),
    [(1.0, [0.0, 0.125, 0.5, 2.5, 2.5]), (2.0, [0.0, 0.125, 0.5, 4.0, 4.0]), (0.5, [0.0, 0.125, 0.375, 1.375, 1.375])],
)
def test_huber_by_hand(compiled, delta, expected):
    loss = compiled(lambda error: huber(error, delta))
    assert loss(tf.constant([0.0, 0.5, -1.0, 3.0, -3.0])).numpy().tolist() == expected


ERRORS = {True: [0.0, 7.0, 5.0, 0.5], False: [5.0, 7.0, 5.0, 0.5]}
LOSSES = {
    (True, 1.0): [0.0, 6.5, 4.5, 0.125],
    (True, 2.0): [0.0, 12.0, 8.0, 0.125],
    (True, None): [0.0, 24.5, 12.5, 0.125],
    (False, 1.0): [4.5, 6.5, 4.5, 0.125],
    (False, None): [12.5, 24.5, 12.5, 0.125],
}


@pytest.mark.slow
def test_losses_by_hand(compiled):
    trainers = {(double, delta): built(double=double, huber_delta=delta)[0] for double, delta in LOSSES}

    def losses(batch):
        return [trainer.loss(trainer.model(batch.observation), batch, SEED) for trainer in trainers.values()]

    for (double, delta), loss in zip(LOSSES, compiled(losses)(tensors(BATCH)), strict=True):
        np.testing.assert_allclose(loss.value, LOSSES[double, delta], rtol=1e-6)
        metrics = {name: value.numpy().tolist() for name, value in loss.metrics.items()}
        assert metrics == {"q_mean": 3.0, "error": ERRORS[double]}
        assert loss.priority.numpy().tolist() == ERRORS[double]


def test_the_next_action_is_the_first_of_equal_ones():
    trainer, _ = built(linear_model(np.zeros((2, 2), np.float32)), discount=1.0)
    eye, zeros = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    batch = tensors(make_batch(eye, np.int64([0, 0]), zeros, zeros + 1, eye))
    loss = trainer.loss(trainer.model(batch.observation), batch, SEED)
    np.testing.assert_allclose(loss.value, [9.5, 0.0])  # bootstraps from action 0: the target network's values 10 and 0


def test_terminated_rows_do_not_bootstrap_and_truncated_ones_do(compiled):
    trainer, _ = built(huber_delta=None)
    terminated, truncated = np.array([False, True, False, True]), np.array([False, False, True, True])
    fresh = np.full((4, 2), 1000.0, np.float32)  # the next episode's first observation must not matter
    final = np.float32([[0, 1]] * 4)  # worth 20 to the target network
    timestep = TimeStep(fresh, np.zeros(4, np.float32), terminated, truncated, final, acted=np.ones(4, np.bool_))
    observation, action = np.float32([[1, 0]] * 4), np.zeros(4, np.int64)  # worth 1 to the model

    @compiled
    def loss(observation, action, timestep):
        step = Step.between(Decision(observation, (), action, (), ()), timestep)
        batch = Batch(**attrs.asdict(step, recurse=False))
        return batch.discount, trainer.loss(trainer.model(batch.observation), batch, SEED).value

    discount, losses = loss(tf.constant(observation), tf.constant(action), tensors(timestep))
    assert discount.numpy().tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(losses, [40.5, 0.5, 40.5, 0.5])  # errors 0.5 * 20 - 1 = 9, and 0 - 1


def test_one_update_by_hand(compiled):
    trainer, model = built(target_update_period=10)
    metrics = compiled(trainer.learn)(tensors(BATCH), SEED).metrics
    assert tuple(sorted(metrics)) == tuple(sorted(trainer.metric_names))
    assert float(metrics["loss"]) == pytest.approx(11.125 / 4)
    assert float(metrics["gradient_norm"]) == pytest.approx(NORM)
    np.testing.assert_allclose(model.get_weights()[0], MODEL - GRADIENT, rtol=1e-6)
    np.testing.assert_array_equal(target_weights(trainer), TARGET)


@pytest.mark.parametrize(("limit", "scale"), [(0.1, 0.1 / NORM), (1.0, 1.0)])
def test_gradients_are_clipped_to_their_global_norm(compiled, limit, scale):
    trainer, model = built(max_gradient_norm=limit)
    metrics = compiled(trainer.learn)(tensors(BATCH), SEED).metrics
    assert float(metrics["gradient_norm"]) == pytest.approx(NORM)  # before clipping
    np.testing.assert_allclose(model.get_weights()[0], MODEL - scale * GRADIENT, rtol=1e-6)


@pytest.mark.usefixtures("_of_either_size")
@pytest.mark.slow
def test_the_target_network_is_copied_at_its_period(compiled):
    trainer, model = built(target_update_period=3)
    learn = compiled(trainer.learn)
    copy = TARGET
    for update in range(1, 8):
        learn(tensors(BATCH), SEED)
        copy = model.get_weights()[0] if update % 3 == 0 else copy
        np.testing.assert_array_equal(target_weights(trainer), copy)
    assert trainer.variables()["target/updates"].numpy() == 7


@pytest.mark.usefixtures("_of_either_size")
def test_polyak_averaging_by_hand(compiled):
    trainer, _ = built(target_update_period=1, target_update_rate=0.25)
    compiled(trainer.learn)(tensors(BATCH), SEED)
    # 0.75 * [[10, 0], [0, 20]] + 0.25 * [[0.75, 1.875], [2.75, 5.25]]
    np.testing.assert_allclose(target_weights(trainer), [[7.6875, 0.46875], [0.6875, 16.3125]], rtol=1e-6)


def test_learning_rate_schedules_count_updates(compiled):
    trainer, model = built(learning_rate=Linear(1.0, 0.0, 4))
    far = make_batch(
        np.float32([[1, 0]]), np.int64([0]), np.float32([1000]), np.float32([0]), np.float32([[0, 1]])
    )  # an error beyond Huber's delta: the gradient is -1
    learn, values = compiled(trainer.learn), []
    for _ in range(6):
        learn(tensors(far), SEED)
        values.append(float(model.get_weights()[0][0, 0]))
    np.testing.assert_allclose(values, [2.0, 2.75, 3.25, 3.5, 3.5, 3.5], rtol=1e-6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(4, activation="relu")
        self.last = keras.layers.Dense(2)

    def call(self, inputs):
        return self.last(self.hidden(inputs))


def functional():
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(4, activation="relu")(inputs)
    advantage, value = keras.layers.Dense(2)(hidden), keras.layers.Dense(1)(hidden)
    return keras.Model(inputs, keras.layers.Add()([advantage, value]))


def with_layers(*layers):
    return lambda: keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4), *(layer() for layer in layers), keras.layers.Dense(2)]
    )


def with_a_frozen_layer():
    model = with_layers()()
    model.layers[0].trainable = False
    return model


MODELS = {
    "sequential": with_layers(),
    "functional": functional,
    "subclassed": Subclassed,
    "normalised": with_layers(keras.layers.BatchNormalization, lambda: keras.layers.Dropout(0.5)),
    "frozen": with_a_frozen_layer,
}


@pytest.mark.pairwise
@pytest.mark.usefixtures("_of_either_size")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.quick("*-graph-*", "large-eager-frozen")
def test_any_keras_model_learns(compiled, make):
    with seeds.keras_initializers(0):
        model = make()
        model(tf.zeros((1, 2)))
    trainer, _ = built(model, target=None, learning_rate=0.1, target_update_period=2)
    observation = tf.constant(BATCH.next_observation)

    @compiled
    def learn(batch):
        metrics = trainer.learn(batch, SEED).metrics
        return metrics, trainer.target.output(observation), model(observation, training=False)

    np.testing.assert_allclose(trainer.target.output(observation), model(observation, training=False), rtol=1e-6)
    before = [weight.numpy() for weight in model.trainable_variables]
    frozen = [layer.get_weights() for layer in model.layers if not layer.trainable]
    for update in range(1, 5):
        metrics, target_values, values = learn(tensors(BATCH))
        assert all(np.isfinite(value).all() for value in metrics.values())
        assert np.allclose(target_values, values, rtol=1e-5, atol=1e-6) == (update % 2 == 0)
    changes = [np.abs(old - new.numpy()).max() for old, new in zip(before, model.trainable_variables, strict=True)]
    assert max(changes) > 0
    for old, layer in zip(frozen, [layer for layer in model.layers if not layer.trainable], strict=True):
        np.testing.assert_array_equal(old[0], layer.get_weights()[0])


@pytest.mark.slow
def test_batch_normalisation_learns_its_moving_means(compiled):
    model = MODELS["normalised"]()
    trainer, _ = built(model, target=None)
    compiled(trainer.learn)(tensors(BATCH), SEED)
    normalisation = model.layers[1]
    assert np.abs(normalisation.moving_mean.numpy()).max() > 0


def test_continuous_actions_are_refused():
    spec = EnvironmentSpec("arm", Array((2,)), Array((3,)))
    with pytest.raises(errors.UsageError) as failure:
        DQN().networks(spec)
    assert str(failure.value) == (
        "DQN needs discrete actions; environment 'arm' takes a float32 array of shape (3,). "
        "A wrapper makes those of a Gymnasium environment discrete: agentlab.run('dqn', environment=lambda: "
        "gymnasium.wrappers.DiscretizeAction(gymnasium.make(ID), bins=5))."
    )
    assert [network.num_outputs for network in DQN().networks(SPEC).values()] == [2]


@pytest.mark.parametrize(
    "wrong",
    [{"discount": 1.1}, {"discount": -0.1}, {"huber_delta": 0.0}, {"target_update_period": 0}, {"target_update_rate": 0.0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        DQN(**wrong)


def test_several_actions_a_step_are_refused():
    with pytest.raises(errors.UsageError, match=r"DQN needs discrete actions; environment 'text' takes a \(64,\) choices"):
        agentlab.make_agent("char-rnn-docs", changes={"trainer": {"name": "dqn", "update_period": 16}})


class Stateful(RecurrentModel):
    def initial_state(self, num_rows):
        return tf.zeros([num_rows, 1])

    def call(self, observation, state, training=False):
        return observation, state


def test_a_model_with_a_state_is_refused():
    with pytest.raises(errors.UsageError, match="DQN values single observations; model 'memento' carries a state"):
        build(DQN(), SPEC, Stateful(name="memento"))
