"""Returns as distributions: C51's numbers worked by hand, by every execution."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.memory import Request
from agentlab.runs.composition import build_part
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import part
from agentlab_dqn.return_distributions import Categorical, projected
from agentlab_dqn.trainer import DQN
from making import build, make_batch, tensors

SEED = seeds.at(seeds.stream(0, "trainer"), 0)
SPEC = EnvironmentSpec("point", Array((1,)), Discrete(2))

# On the returns 0, 1, 2: what moves where.
PROJECTIONS = {
    "on the support": ([0, 1, 2], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
    "between: shared by nearness": ([0.25, 1.5, 2], [0.4, 0.4, 0.2], [0.3, 0.1 + 0.2, 0.2 + 0.2]),
    "outside: the nearest": ([-3, 1, 7], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
    "all in one place": ([1.75, 1.75, 1.75], [0.2, 0.3, 0.5], [0, 0.25, 0.75]),
}


def test_projections_by_hand(compiled):
    returns, probabilities, expected = (np.float32(column) for column in zip(*PROJECTIONS.values(), strict=True))
    result = compiled(lambda *both: projected(*both, 0.0, 2.0))(tf.constant(returns), tf.constant(probabilities))
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize(("minimum", "maximum", "atoms"), [(-10.0, 10.0, 51), (0.0, 1.0, 2), (-0.3, 70.0, 7)])
def test_a_projection_keeps_the_mean_within_the_support(minimum, maximum, atoms):
    generator = np.random.default_rng(0)
    returns = generator.uniform(minimum, maximum, (20, atoms)).astype(np.float32)
    probabilities = generator.dirichlet(np.ones(atoms), 20).astype(np.float32)
    result = projected(tf.constant(returns), tf.constant(probabilities), minimum, maximum).numpy()
    np.testing.assert_allclose(result.sum(1), 1.0, rtol=1e-5)
    assert (result >= 0).all()
    support = np.linspace(minimum, maximum, atoms)
    np.testing.assert_allclose(result @ support, (returns * probabilities).sum(1), rtol=1e-4, atol=1e-4)


LOG2, LOG3 = np.log(2.0), np.log(3.0)
OUTPUT = np.float32([[LOG2, 0, 0, 0, 0, LOG2]])  # two actions, three returns: probabilities 1/2 1/4 1/4 and 1/4 1/4 1/2


@pytest.mark.quick("eager*", "graph*")
def test_expected_values_by_hand(compiled):
    def values(minimum, maximum, output):
        distribution = Categorical(3, minimum, maximum).distribution(2)
        return compiled(lambda output: distribution.of(output).preferences)(tf.constant(output))

    np.testing.assert_allclose(values(0.0, 2.0, OUTPUT), [[0.75, 1.25]], rtol=1e-6)
    np.testing.assert_allclose(values(-4.0, 4.0, np.tile(OUTPUT, (2, 1))), [[-1, 1], [-1, 1]], rtol=1e-6)


def test_losses_by_hand(compiled):
    """Reward 1, discount 1/2: the next action's returns 0, 1, 2 with 1/4 1/4 1/2 become 1, 3/2, 2, on the support 0 3/8 5/8."""
    rows = [np.repeat(leaf, 2, axis=0) for leaf in (OUTPUT, np.int64([0]), np.float32([1]))]
    discount = np.float32([0.5, 0.0])  # where the task ended, all of it lies at 1
    other = [np.repeat(leaf, 2, axis=0) for leaf in (OUTPUT, np.int64([1]))]
    returns = Categorical(3, 0.0, 2.0)
    distribution = returns.distribution(2)

    @compiled
    def compare(output, action, reward, discount, next_output, next_action):
        values, next_values = distribution.of(output), distribution.of(next_output)
        return returns.compare(values, action, reward, discount, next_values, next_action)

    loss, error = compare(*map(tf.constant, (*rows, discount, *other)))
    # the action taken has 1/2 1/4 1/4: log 4 either way
    np.testing.assert_allclose(loss, [2 * LOG2, 2 * LOG2], rtol=1e-6)
    entropy = -(3 / 8 * np.log(3 / 8) + 5 / 8 * np.log(5 / 8))
    np.testing.assert_allclose(error, [2 * LOG2 - entropy, 2 * LOG2], rtol=1e-6)


def linear(weights):
    weights = np.float32(weights)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(weights.shape[1], use_bias=False)])
    model.set_weights([weights])
    return model


@pytest.mark.parametrize(("double", "action"), [(True, 0), (False, 1)])
def test_the_next_action_is_the_one_expected_to_return_most(double, action):
    """The model prefers action 0, the target network action 1, whose distributions the latter has as above."""
    model = linear(OUTPUT)
    trainer = DQN(num_atoms=3, minimum_return=0.0, maximum_return=2.0, discount=1.0, double=double)
    build(trainer, SPEC, model)
    model.set_weights([np.float32([[0, 0, LOG3, 0, 0, 0]])])
    one = np.float32([[1]])
    batch = tensors(make_batch(one, np.int64([1]), np.float32([0]), np.float32([1]), one))
    loss = trainer.loss(model(batch.observation), batch, SEED)
    beyond = [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]][action]
    np.testing.assert_allclose(loss.value, [LOG3], rtol=1e-6)  # the action taken is thought to be uniform
    np.testing.assert_allclose(loss.metrics["error"], [LOG3 + sum(p * np.log(p) for p in beyond)], rtol=1e-5)
    np.testing.assert_allclose(loss.metrics["q_mean"], 1.0)


@pytest.mark.slow
def test_one_update_moves_the_distribution_to_the_target(compiled):
    model = linear(np.zeros((1, 6)))
    trainer = DQN(
        num_atoms=3, minimum_return=0.0, maximum_return=2.0, optimizer="sgd", learning_rate=1.0, target_update_period=9
    )
    build(trainer, SPEC, model)
    one = np.float32([[1]])
    batch = make_batch(one, np.int64([0]), np.float32([2]), np.float32([0]), one)
    compiled(trainer.learn)(tensors(batch), SEED)
    # the gradient of the cross-entropy by the logits is the probabilities, 1/3 each, less the target, all at 2
    np.testing.assert_allclose(model.get_weights()[0], [[-1 / 3, -1 / 3, 2 / 3, 0, 0, 0]], rtol=1e-5)


def test_outputs_request_and_distribution_are_the_trainers():
    trainer = DQN(num_atoms=3, minimum_return=0, maximum_return=2, num_steps=4, discount=0.9)
    assert [network.num_outputs for network in trainer.networks(SPEC).values()] == [6]
    assert trainer.request(SPEC) == Request(4, 0.9, priority=True)
    values = trainer.distribution(SPEC).of(tf.constant(OUTPUT))
    np.testing.assert_allclose(values.preferences, [[0.75, 1.25]], rtol=1e-6)
    assert values.mode().numpy().tolist() == [1]
    plain = np.float32([[3.0, -1.0]])
    np.testing.assert_array_equal(DQN().distribution(SPEC).of(tf.constant(plain)).preferences, plain)


WRONG = {
    "no order": (
        {"minimum_return": 5.0, "maximum_return": 5.0},
        "'minimum_return' 5.0 and 'maximum_return' 5.0 must be from -1e+30 to 1e+30, the first below",
    ),
    "no end": ({"maximum_return": float("inf")}, "'minimum_return' -10.0 and 'maximum_return' inf must be from -1e+30"),
    "not a number": ({"minimum_return": float("nan")}, "'minimum_return' nan and 'maximum_return' 10.0 must be from -1e+30"),
    "beyond float32": ({"maximum_return": 1e38}, "'minimum_return' -10.0 and 'maximum_return' 1e+38 must be from -1e+30"),
    "ascent": ({"learning_rate": -0.1}, "'learning_rate' must be 0 or greater and finite: -0.1"),
    "a rate that is none": ({"learning_rate": float("nan")}, "'learning_rate' must be 0 or greater and finite: nan"),
    "one atom": ({"num_atoms": 1}, "'num_atoms' must be >= 2: 1"),
    "no step": ({"num_steps": 0}, "'num_steps' must be >= 1: 0"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(errors.UsageError) as failure:
        build_part("trainer", part("dqn", **settings))
    assert str(failure.value).startswith(f"Wrong setting of trainer 'dqn': {message}")
