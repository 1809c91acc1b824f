"""What trainers share: when updates are due, and optimizers applied to all parameters as one vector."""

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab import errors, seeds
from agentlab.configuration import merged
from agentlab.loop.agent import Agent, Parts
from agentlab.memory import Latest, Request
from agentlab.runs import composition
from agentlab.runs.composition import agents
from agentlab.sampler import Greedy
from agentlab.schedules import Exponential, Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.tensors import adam, parameters
from agentlab.tensors.adam import Adam
from agentlab.tensors.parameters import FUSED_SIZE, Updater, flatten, unflatten
from agentlab.tensors.state import variables_of
from agentlab.trainer import Loss, Trainer
from agentlab_memories.replay import UniformReplay
from making import build, make_batch

SPEC = EnvironmentSpec("line", Array((3,)), Discrete(2))


class Regression(Trainer):
    """Half the squared error of the first output to the reward."""

    def loss(self, output, batch, seed):
        return Loss(0.5 * tf.square(batch.reward - output[:, 0]))


def small_model(**options):
    layers = [keras.layers.Dense(4, activation="tanh", **options), keras.layers.Dense(2, name="last")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=weight.shape).astype(np.float32) for weight in model.weights])
    return model


def gradients_of(variables, number=20):
    generator = np.random.default_rng(1)
    return [[generator.normal(size=v.shape).astype(np.float32) for v in variables] for _ in range(number)]


# ---- when updates are due -------------------------------------------------------------------------------------------


def naive_total(vector_steps, rows, trainer):
    """Counts every multiple of the period reached, in vector steps that do not end before learning starts."""
    total = 0
    for step in range(1, vector_steps * rows + 1):
        end_of_vector_step = -(-step // rows) * rows
        if step % trainer.update_period == 0 and end_of_vector_step >= trainer.learning_starts:
            total += trainer.updates_per_period
    return total


@given(
    vector_steps=st.integers(1, 40),
    rows=st.integers(1, 12),
    learning_starts=st.integers(0, 150),
    update_period=st.integers(1, 40),
    updates_per_period=st.integers(1, 5),
)
def test_updates_of_a_whole_run(vector_steps, rows, **settings):
    trainer = Regression(**settings)
    schedule = trainer.update_schedule(SPEC, rows)
    counts = [schedule.due(step * rows, rows) for step in range(1, vector_steps + 1)]
    assert sum(counts) == schedule.total(vector_steps * rows, rows) == naive_total(vector_steps, rows, trainer)
    assert sum(counts) == schedule.total((vector_steps - 1) * rows + 1, rows)  # the last turn is taken whole
    tensors = schedule.due(tf.range(1, vector_steps + 1, dtype=tf.int64) * rows, rows)
    assert tensors.dtype == tf.int64
    assert tensors.numpy().tolist() == counts
    if settings["learning_starts"] == 0:
        assert sum(counts) == vector_steps * rows // trainer.update_period * trainer.updates_per_period


@pytest.mark.parametrize(
    ("settings", "rows", "expected"),
    [
        ({}, 1, [1, 1, 1, 1, 1, 1]),
        ({"update_period": 4}, 1, [0, 0, 0, 1, 0, 0]),
        ({"update_period": 4}, 8, [2, 2, 2, 2, 2, 2]),
        ({"update_period": 4, "updates_per_period": 3}, 2, [0, 3, 0, 3, 0, 3]),
        ({"update_period": 4, "learning_starts": 9}, 2, [0, 0, 0, 0, 0, 1]),
        ({"update_period": 4, "learning_starts": 8}, 2, [0, 0, 0, 1, 0, 1]),
        ({"update_period": 3}, 2, [0, 1, 1, 0, 1, 1]),
        ({}, 8, [1, 1, 1, 1, 1, 1]),  # a round at every turn
    ],
)
def test_updates_due_by_hand(compiled, settings, rows, expected):
    schedule = Regression(**settings).update_schedule(SPEC, rows)
    assert [schedule.due(step * rows, rows) for step in range(1, 7)] == expected
    due = compiled(lambda steps: schedule.due(steps, rows))
    assert [int(due(tf.constant(step * rows, tf.int64))) for step in range(1, 7)] == expected


class InOrder(Regression):
    """Learns from the last 5 steps of every environment."""

    def request(self, spec):
        return Request(length=5, order="all")


def test_what_is_collected_whole_is_learned_from_when_it_is_whole():
    schedule = InOrder(updates_per_period=2).update_schedule(SPEC, 3)
    assert [schedule.due(step * 3, 3) for step in range(1, 11)] == [0, 0, 0, 0, 2, 0, 0, 0, 0, 2]
    for settings in ({"update_period": 4}, {"learning_starts": 9}):
        with pytest.raises(errors.UsageError, match=r"InOrder learns from every 5 steps of each environment; .* can't be set"):
            InOrder(**settings).update_schedule(SPEC, 3)


@pytest.mark.parametrize(
    ("settings", "total"),
    [({"update_period": 4}, 25), ({"update_period": 4, "updates_per_period": 3}, 75), ({"learning_starts": 60}, 21)],
)
def test_a_learning_rate_without_a_length_spans_the_updates_of_the_budget(settings, total):
    trainer = build(
        Regression(optimizer="sgd", learning_rate=Linear(1.0, 0.0), **settings),
        SPEC,
        small_model(),
        num_environments=2,
        steps=100,
    )
    rate = trainer.acting.updater.optimizer._learning_rate.schedule
    assert rate == Linear(1.0, 0.0, total)


# ---- parameters as one vector -----------------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "rmsprop centered": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)),
    "clipvalue": lambda: keras.optimizers.SGD(0.1, clipvalue=0.3),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.5),
    "clipnorm": lambda: keras.optimizers.SGD(0.1, clipnorm=0.5),
    "ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
}


def apply_both(make_optimizer, ours, theirs, wrap=lambda function: function):
    """Makes 20 updates of two models, one by an Updater and one by Keras, variable by variable."""
    updater, plain = Updater(make_optimizer(), ours.trainable_variables), make_optimizer()
    plain.build(theirs.trainable_variables)
    apply = wrap(updater.apply)
    for gradients in gradients_of(ours.trainable_variables):
        tensors = [tf.constant(gradient) for gradient in gradients]
        apply(tensors)
        plain.apply(tensors, theirs.trainable_variables)
    return updater


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_vector_gives_the_numbers_of_kerass_optimizers(name):
    ours, theirs = small_model(), small_model()
    apply_both(OPTIMIZERS[name], ours, theirs)
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_one_vector_by_every_execution(compiled, name):
    ours, theirs = small_model(), small_model()
    updater = apply_both(OPTIMIZERS[name], ours, theirs, compiled)
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, rtol=1e-5, atol=1e-6)
    assert updater.optimizer.iterations.numpy() == 20
    assert all(isinstance(variable, tf.Variable) for variable in variables_of(updater).values())


def test_constraints_of_layers_hold():
    ours, theirs = (small_model(kernel_constraint=keras.constraints.NonNeg()) for _ in range(2))
    apply_both(OPTIMIZERS["sgd"], ours, theirs)
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_parameters_excluded_from_weight_decay_do_not_decay():
    def make_optimizer():
        optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    ours, theirs = small_model(), small_model()
    apply_both(make_optimizer, ours, theirs)
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, rtol=1e-5, atol=1e-6)


def test_large_models_are_updated_variable_by_variable():
    shape = (1001, FUSED_SIZE // 1000)
    ours, theirs = (keras.Variable(np.ones(shape, np.float32)) for _ in range(2))
    updater = Updater(keras.optimizers.Adam(0.01), [ours])
    updater.apply([tf.ones(shape)])
    plain = keras.optimizers.Adam(0.01)
    plain.apply([tf.ones(shape)], [theirs])
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert shape in {tuple(variable.shape) for variable in variables_of(updater).values()}


# ---- Adam, of large variables as one operation --------------------------------------------------------------------------


@pytest.fixture(params=["small", "large"])
def variable_size(request, monkeypatch):
    """Has every variable changed as small ones are, or as large ones."""
    monkeypatch.setattr(adam, "SMALL", {"small": 10**9, "large": -1}[request.param])


@pytest.mark.usefixtures("variable_size")
def test_adam_by_hand(compiled):
    """After one step from zeros the moments are shares of the gradient, and the step is the rate, whatever the gradient."""
    variable = keras.Variable(np.float32([[1.0, -2.0]]))
    optimizer = Adam(0.1, beta_1=0.8, beta_2=0.96, epsilon=0.0)
    optimizer.build([variable])
    apply = compiled(lambda gradient: optimizer.apply([gradient], [variable]))
    apply(tf.constant([[2.0, -0.5]]))
    np.testing.assert_allclose(variable, [[0.9, -1.9]], rtol=1e-5)
    apply(tf.constant([[1.0, -0.5]]))
    first = (0.8 * 0.2 * 2.0 + 0.2 * 1.0) / (1 - 0.8**2)
    second = (0.96 * 0.04 * 4.0 + 0.04 * 1.0) / (1 - 0.96**2)
    np.testing.assert_allclose(variable, [[0.9 - 0.1 * first / second**0.5, -1.8]], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("variable_size")
@pytest.mark.parametrize("rate", [0.01, keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)])
def test_adam_gives_the_numbers_of_kerass(compiled, rate):
    ours, theirs = small_model(), small_model()
    optimizer, plain = Adam(rate), keras.optimizers.Adam(rate)
    optimizer.build(ours.trainable_variables)
    apply = compiled(lambda gradients: optimizer.apply(gradients, ours.trainable_variables))
    for gradients in gradients_of(ours.trainable_variables):
        apply([tf.constant(gradient) for gradient in gradients])
        plain.apply([tf.constant(gradient) for gradient in gradients], theirs.trainable_variables)
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("variable_size")
def test_adam_takes_gradients_of_single_rows():
    """As embeddings have them: the other rows' moments decay, and move their row, as by a gradient of zero."""
    rows = tf.IndexedSlices(tf.constant([[1.0, 2.0], [4.0, 8.0]]), tf.constant([2, 2]), tf.constant([3, 2]))
    by_rows, whole = (keras.Variable(np.ones((3, 2), np.float32)) for _ in range(2))
    for variable, gradient in ((by_rows, rows), (whole, tf.convert_to_tensor(rows))):
        optimizer = Adam(0.1)
        optimizer.build([variable])
        optimizer.apply([tf.ones([3, 2])], [variable])
        optimizer.apply([gradient], [variable])
    np.testing.assert_array_equal(by_rows, whole)


@pytest.mark.parametrize("max_norm", [None, 6.5, 26.0])
@pytest.mark.parametrize("is_fused", [True, False])
def test_an_update_returns_the_norm_and_scales_gradients_to_the_largest(is_fused, max_norm, monkeypatch):
    """The gradients' norm is 13, of elements 3, 4 and 12."""
    if not is_fused:
        monkeypatch.setattr(parameters, "FUSED_SIZE", 0)
    variables = [keras.Variable(np.zeros(size, np.float32)) for size in (1, 200)]
    updater = Updater(keras.optimizers.SGD(1.0), variables)
    gradients = [tf.constant([3.0]), tf.concat([tf.zeros(150), [4.0, 12.0], tf.zeros(48)], axis=0)]
    assert float(updater.apply(gradients, max_norm)) == 13.0
    scale = 0.5 if max_norm == 6.5 else 1.0
    for variable, gradient in zip(variables, gradients, strict=True):
        np.testing.assert_array_equal(variable, -scale * gradient)


def test_flatten_and_unflatten_are_inverse():
    tensors = [tf.reshape(tf.range(6.0), [2, 3]), tf.constant(7.0), tf.zeros([0, 4]), tf.constant([8.0, 9.0])]
    vector = flatten(tensors)
    assert vector.numpy().tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    for part, tensor in zip(unflatten(vector, tensors), tensors, strict=True):
        np.testing.assert_array_equal(part, tensor)


# ---- optimizers by name and as objects ---------------------------------------------------------------------------------


def test_an_unknown_optimizer_is_told():
    with pytest.raises(errors.UsageError) as failure:
        build(Regression(optimizer="adamm"), SPEC, small_model())
    assert str(failure.value) == "No optimizer named 'adamm'. Known: adam, adamw, rmsprop, sgd. Did you mean 'adam'?"


@pytest.mark.parametrize("wrong", [5, ["adam"], None, {"epsilon": 1e-4}, {"name": None}])
def test_an_optimizer_of_a_wrong_type_is_told(wrong):
    with pytest.raises(errors.UsageError, match="optimizer"):
        build(Regression(optimizer=wrong), SPEC, small_model())


def learn_once(**settings):
    model = small_model()
    trainer = build(Regression(**settings), SPEC, model)
    observation = tf.constant([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
    batch = make_batch(observation, tf.constant([0, 1]), tf.constant([1.0, -1.0]), tf.ones(2), observation)
    metrics = [{name: float(value) for name, value in trainer.learn(batch, None).metrics.items()} for _ in range(3)]
    return model.get_weights(), metrics, trainer


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", Adam),
        ("adamw", keras.optimizers.AdamW),
        ("rmsprop", keras.optimizers.RMSprop),
        ("sgd", keras.optimizers.SGD),
    ],
)
def test_an_optimizer_may_be_a_name_or_an_object(name, kind):
    by_name, metrics, _ = learn_once(optimizer=name, learning_rate=0.02)
    own = kind(0.02)
    by_object, same_metrics, trainer = learn_once(optimizer=own, learning_rate=123.0)  # the object has its own
    assert metrics == same_metrics
    assert set(metrics[0]) == {"loss", "gradient_norm"}
    for ours, theirs in zip(by_name, by_object, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert own.iterations.numpy() == 3
    assert any(name.startswith("trained/policy/updater/optimizer/") for name in trainer.variables())


def test_an_optimizer_by_name_takes_arguments_of_kerass():
    arguments = {"rho": 0.95, "centered": True, "epsilon": 1e-4}
    by_name, _, _ = learn_once(optimizer={"name": "rmsprop", **arguments}, learning_rate=0.02)
    by_object, _, _ = learn_once(optimizer=keras.optimizers.RMSprop(0.02, **arguments))
    plain, _, _ = learn_once(optimizer="rmsprop", learning_rate=0.02)
    for ours, theirs, other in zip(by_name, by_object, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert not np.allclose(ours, other)


@pytest.mark.parametrize("wrong", [{"rhoo": 0.5}, {"learning_rate": 0.5}, {"weight_decay": "much"}])
def test_arguments_that_an_optimizer_does_not_take_are_told(wrong):
    with pytest.raises(errors.UsageError) as failure:
        build(Regression(optimizer={"name": "rmsprop", **wrong}), SPEC, small_model())
    assert str(failure.value).startswith(f"Optimizer 'rmsprop' does not take {wrong}: ")
    assert "Expected arguments of keras.optimizers.RMSprop; the learning rate is a setting of its own." in str(failure.value)


def test_another_optimizer_begins_without_the_arguments_of_the_one_before():
    old = {"optimizer": {"name": "rmsprop", "rho": 0.95}}
    assert merged(old, {"optimizer": {"momentum": 0.5}}) == {"optimizer": {"name": "rmsprop", "rho": 0.95, "momentum": 0.5}}
    assert merged(old, {"optimizer": {"name": "sgd", "momentum": 0.5}}) == {"optimizer": {"name": "sgd", "momentum": 0.5}}
    assert merged(old, {"optimizer": "sgd"}) == {"optimizer": "sgd"}


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_by_name_with_amsgrad(amsgrad):
    options = {"amsgrad": amsgrad, "beta_2": 0.5}
    by_name, _, _ = learn_once(optimizer={"name": "adam", **options}, learning_rate=0.5)
    by_object, _, _ = learn_once(optimizer=keras.optimizers.Adam(0.5, **options))
    for ours, theirs in zip(by_name, by_object, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_schedule_of_learning_rates_counts_updates():
    rates = Exponential(0.1, 0.001, 2)
    weights, _, _ = learn_once(optimizer="sgd", learning_rate=rates)
    by_hand, _, _ = learn_once(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.01)))
    for ours, theirs in zip(weights, by_hand, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_losses_that_layers_add_count():
    model = small_model(kernel_regularizer=keras.regularizers.L2(0.5))
    trainer = build(Regression(optimizer="sgd", learning_rate=0.0), SPEC, model)
    observation = tf.constant([[1.0, 0.0, -1.0]])
    output = model(observation)
    batch = make_batch(observation, tf.constant([0]), output[:, 0] + 2.0, tf.ones(1), observation)
    metrics = trainer.learn(batch, None).metrics
    expected = 0.5 * 2.0**2 + 0.5 * np.square(model.get_weights()[0]).sum()
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"update_period": 0}, {"updates_per_period": 0}, {"learning_starts": -1}, {"max_gradient_norm": 0.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Regression(**wrong)


# ---- what is built, and in which order ------------------------------------------------------------------------------


class WithCritic(Regression):
    """It has a network of its own, and notes the order in which its methods are called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def distribution(self, spec):
        self.calls.append("distribution")
        return super().distribution(spec)

    def networks(self, spec):
        self.calls.append("networks")
        return super().networks(spec)

    def build(self, setup):
        self.calls.append("build")
        super().build(setup)
        self.critic = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])


def weights_of_critic(seed):
    trainer = WithCritic()
    Agent(SPEC, Parts({"policy": [small_model()]}, Greedy(), trainer, Latest()), seed=seed)
    return trainer.critic.get_weights()


def test_a_network_of_the_trainers_own_follows_the_seed_of_the_run():
    one, again, other = (weights_of_critic(seed) for seed in (0, 0, 1))
    np.testing.assert_equal(one, again)
    assert all(np.any(left != right) for left, right in zip(one[::2], other[::2], strict=True))  # kernels; biases are 0


def test_the_network_is_not_the_models_twin():
    """Two streams: a critic shaped like the model does not begin as a copy of it."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    with seeds.keras_initializers(0):
        model = keras.models.clone_model(model)
    assert np.any(model.get_weights()[0] != weights_of_critic(0)[0])


def test_what_is_called_before_build(monkeypatch):
    """Its docstring names them."""
    trainer = WithCritic()
    usual = agents.build_part
    monkeypatch.setattr(
        agents,
        "build_part",
        lambda kind, *rest, **arguments: trainer if kind == "trainer" else usual(kind, *rest, **arguments),
    )
    composition.make_agent("dqn")
    before = trainer.calls[: trainer.calls.index("build")]
    assert set(before) == {"distribution", "networks"}
    for name in (*before, "request", "update_schedule", "optimizer_steps"):
        assert f"`{name}`" in Trainer.build.__doc__


# ---- weights of rows, variables of one's own --------------------------------------------------------------------------


def test_weights_of_rows_count_by_hand():
    model = small_model()
    trainer = build(Regression(optimizer="sgd", learning_rate=0.0), SPEC, model)
    observation = tf.constant([[1.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    output = model(observation)
    targets = output[:, 0] + tf.constant([2.0, 4.0])
    batch = make_batch(observation, tf.constant([0, 0]), targets, tf.ones(2), observation, weight=tf.constant([1.5, 0.5]))
    metrics = trainer.learn(batch, None).metrics
    assert float(metrics["loss"]) == pytest.approx((1.5 * 2.0 + 0.5 * 8.0) / 2.0, rel=1e-5)


class MeanOfAll(Regression):
    """Returns the mean of the rows' losses, as a Keras loss does."""

    def loss(self, output, batch, seed):
        return Loss(tf.reduce_mean(super().loss(output, batch, seed).value))


@pytest.mark.parametrize("weight", [(), tf.constant([1.5, 0.5])], ids=["all alike", "weights"])
def test_a_loss_that_is_one_number_is_refused_where_rows_have_weights(weight):
    trainer = build(MeanOfAll(optimizer="sgd"), SPEC, small_model())
    observation = tf.zeros([2, 3])
    batch = make_batch(observation, tf.constant([0, 0]), tf.ones(2), tf.ones(2), observation, weight=weight)
    if isinstance(weight, tuple):
        assert np.isfinite(trainer.learn(batch, None).metrics["loss"])
        return
    with pytest.raises(errors.UsageError, match=r"The loss is one number.*Return the loss of each row, \[N\]"):
        trainer.learn(batch, None)
    with pytest.raises(errors.UsageError, match="The loss is one number"):
        trainer.minimize("policy", lambda: Loss(tf.constant(1.0), weight=weight), None)


HIDDEN = tf.Variable(3.0)


class NamesAnother(Regression):
    """Names a variable that none of its attributes holds."""

    def variables(self):
        return {**super().variables(), "hidden": HIDDEN}

    def ranges(self):
        return {**super().ranges(), "hidden": Range(0.0, 5.0)}


def test_variables_that_a_trainer_names_itself_are_saved():
    """What `variables` and `ranges` say is what checkpoints hold, whether or not an attribute leads there."""
    parts = Parts({"policy": [small_model()]}, Greedy(), NamesAnother(), UniformReplay(10, 2))
    agent, usual = Agent(SPEC, parts), Agent(SPEC, attrs.evolve(parts, trainer=Regression()))
    assert agent.variables()["trainer/hidden"] is HIDDEN
    assert agent.ranges()["trainer/hidden"] == Range(0.0, 5.0)
    assert agent.variables().keys() == {*usual.variables(), "trainer/hidden"}
    names = [name for name, held in agent.variables().items() if held is agent.model.variables[0].value]
    assert names == ["model/000"]
