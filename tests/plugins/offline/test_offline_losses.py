"""Behaviour cloning, IQL, TD3+BC and CQL against arithmetic in NumPy, with linear networks."""

import attrs
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from agentlab import errors, seeds
from agentlab.algorithms.critics import Critics
from agentlab.algorithms.soft_values import soft_values_of
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab_actor_critic.cql import CQL
from agentlab_actor_critic.sac import SAC
from agentlab_actor_critic.td3_bc import TD3BC
from agentlab_offline.behaviour_cloning import BehaviourCloning
from agentlab_offline.iql import IQL
from critics_by_hand import (
    ACTING_POLICY,
    ARM,
    ARM_BATCH,
    CRITICS,
    HALF,
    NORMAL_POLICY,
    SEED,
    TARGETS,
    build_with,
    linear,
    linear_critics,
    numerical_gradient,
    scaled,
    values_by_hand,
    weights_of,
)
from making import make_batch, tensors

VALUE = np.array([[0.3], [-0.4]])
SETTINGS = {"discount": 0.9, "optimizer": "sgd", "learning_rate": 0.1, "target_update_rate": 0.25}
WEIGHT, OBSERVATION = np.float64(ARM_BATCH.weight), np.float64(ARM_BATCH.observation)
ACTION = scaled(ARM_BATCH.action)  # of which one is at both bounds
SHAPES = EnvironmentSpec("shapes", Array((2,)), Discrete(3))
RECORDED = attrs.evolve(SHAPES, target={"action": SHAPES.action, "return_to_go": Array(())}, is_recorded=True)
CHOICES = make_batch(
    observation=np.float32([[1, 0], [0, 1], [1, 1]]),
    action=np.array([2, 0, 1]),
    reward=np.float32([1, -1, 0.5]),
    discount=np.float32([1, 0, 1]),
    next_observation=np.float32([[0, 1], [1, 0], [1, 1]]),
    weight=np.float32([1, 0.5, 1]),
)


def log_likelihood_by_hand(policy):
    """Returns the log-likelihood `[N]` of the batch's actions under normal distributions clipped to the bounds."""
    mean, log_std = np.split(OBSERVATION @ policy, 2, axis=-1)
    normal = (ACTION - mean) / np.exp(log_std)
    between = -0.5 * normal**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(HALF)
    at_bound = np.where(ACTION <= -1, special.log_ndtr(normal), special.log_ndtr(-normal))
    return np.where(np.abs(ACTION) >= 1, at_bound, between).sum(axis=-1)


def built(kind, **settings):
    """Returns a trainer for the arm whose target critics have weights of their own, and its models."""
    acting = ACTING_POLICY if kind is TD3BC else NORMAL_POLICY
    models = {"policy": [linear(acting)], "critic": linear_critics(*TARGETS)}
    if kind is IQL:
        models["value"] = [linear(VALUE)]
    trainer = build_with(kind(**{**SETTINGS, **settings}), ARM, **models)
    for critic, weights in zip(models["critic"], CRITICS, strict=True):
        critic.set_weights([weights])
    return trainer, models


def after(weights, gradient):
    return weights - 0.1 * gradient


@pytest.mark.quick("graph")
def test_an_update_of_iql(compiled):
    trainer, models = built(IQL, expectile=0.8, inverse_temperature=4.0)
    update = compiled(trainer.learn)(tensors(ARM_BATCH), SEED)
    assert set(update.metrics) == set(trainer.metric_names)

    # The value moves to the upper expectile of what the target critics say of the actions.
    worth = values_by_hand(TARGETS, OBSERVATION, ACTION).min(axis=0)

    def value_loss(weights):
        apart = worth - (OBSERVATION @ weights)[:, 0]
        return np.mean(WEIGHT * np.where(apart < 0, 0.2, 0.8) * apart**2)

    moved = after(VALUE, numerical_gradient(value_loss, VALUE))
    np.testing.assert_allclose(update.metrics["value_loss"], value_loss(VALUE), rtol=1e-5)
    np.testing.assert_allclose(models["value"][0].get_weights()[0], moved, rtol=1e-5)

    # The policy imitates by the exponential of the advantage; the actions that are at a bound count by their probability.
    advantage = worth - (OBSERVATION @ moved)[:, 0]
    imitated = np.minimum(np.exp(4.0 * advantage), 100.0)
    assert imitated.max() == 100.0  # the largest weight is reached in one row, and not in all
    assert imitated.min() < 100.0

    def policy_loss(weights):
        return -np.mean(WEIGHT * imitated * log_likelihood_by_hand(weights))

    np.testing.assert_allclose(update.metrics["policy_loss"], policy_loss(NORMAL_POLICY), rtol=1e-4)
    policy = after(NORMAL_POLICY, numerical_gradient(policy_loss, NORMAL_POLICY))
    np.testing.assert_allclose(models["policy"][0].get_weights()[0], policy, rtol=1e-3, atol=1e-3)

    # The critics bootstrap from the value as it is now; their target networks follow.
    beyond = (np.float64(ARM_BATCH.next_observation) @ moved)[:, 0]
    targets = ARM_BATCH.reward + 0.9 * ARM_BATCH.discount * beyond

    def critic_loss(weights):
        return np.mean(WEIGHT * np.square(values_by_hand(weights, OBSERVATION, ACTION) - targets).sum(axis=0))

    critics = after(CRITICS, numerical_gradient(critic_loss, CRITICS))
    np.testing.assert_allclose(update.metrics["critic_loss"], critic_loss(CRITICS), rtol=1e-5)
    np.testing.assert_allclose(weights_of(models["critic"]), critics, rtol=1e-5)
    held = [value.numpy() for name, value in sorted(trainer.variables().items()) if "held" in name]
    np.testing.assert_allclose(np.ravel(held), np.ravel(0.75 * TARGETS + 0.25 * critics), rtol=1e-5)


def test_iql_of_choices():
    critics = [np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]), np.array([[0.0, 1.5, 1.0], [1.0, 1.0, 1.0]])]
    models = {"policy": [linear(np.ones((2, 3)))], "critic": [linear(own) for own in critics], "value": [linear(VALUE)]}
    update = build_with(IQL(**SETTINGS), SHAPES, **models).learn(tensors(CHOICES), SEED)
    worth = np.min([(CHOICES.observation @ own)[np.arange(3), CHOICES.action] for own in critics], axis=0)
    advantage = worth - (CHOICES.observation @ VALUE)[:, 0]
    np.testing.assert_allclose(update.metrics["advantage"], advantage.mean(), rtol=1e-5)


@pytest.mark.quick("graph")
def test_the_policy_of_td3_bc(compiled):
    trainer, models = built(TD3BC, value_weight=2.0, policy_period=1, target_noise=0.0)
    update = compiled(trainer.learn)(tensors(ARM_BATCH), SEED)
    critics = weights_of(models["critic"])
    size = np.abs(values_by_hand(critics[:1], OBSERVATION, np.tanh(OBSERVATION @ ACTING_POLICY))).mean()

    def policy_loss(weights):
        action = np.tanh(OBSERVATION @ weights)
        value = values_by_hand(critics[:1], OBSERVATION, action)[0]
        return np.mean(WEIGHT * (np.square(action - ACTION).mean(axis=-1) - 2.0 * value / size))

    np.testing.assert_allclose(update.metrics["policy_loss"], policy_loss(ACTING_POLICY), rtol=1e-5)
    moved = after(ACTING_POLICY, numerical_gradient(policy_loss, ACTING_POLICY))
    np.testing.assert_allclose(models["policy"][0].get_weights()[0], moved, rtol=1e-4)


def test_the_soft_maximum_of_numbers_is_the_integral():
    """Of a linear critic, w . a + c: the integral from -1 to 1 is that of each element by hand, 2 sinh(w) / w."""
    trainer, _ = built(SAC)
    observation = tf.constant(ARM_BATCH.observation)
    critics = Critics(trainer.trained["critic"], lambda seen, action: trainer.inputs("critic", seen, action), None)
    policies = [tf.constant(OBSERVATION @ NORMAL_POLICY, tf.float32)]
    estimate = soft_values_of(ARM, "SAC").log_sum(
        lambda actions: critics.values_of_many(observation, actions), policies, 20_000, SEED
    )
    of_action = CRITICS[:, 2:, 0]
    of_observation = np.einsum("nf,cf->cn", OBSERVATION, CRITICS[:, :2, 0])
    by_hand = of_observation + np.log(2.0 * np.sinh(of_action) / of_action).sum(axis=-1)[:, None]
    np.testing.assert_allclose(estimate, by_hand, atol=0.03)


def test_the_gap_of_cql_is_added_to_the_loss_of_sac():
    sac, _ = built(SAC, initial_temperature=0.2)
    cql, _ = built(CQL, initial_temperature=0.2, conservative_weight=3.0, num_draws=4)
    batch = tensors(ARM_BATCH)
    plain, conservative = (trainer._critic_loss(batch, SEED) for trainer in (sac, cql))

    # What the soft maximum is of, with the same draws.
    policies = [
        tf.constant(np.float64(seen) @ NORMAL_POLICY, tf.float32) for seen in (batch.observation, batch.next_observation)
    ]
    values = lambda actions: cql._critics.values_of_many(batch.observation, actions)  # noqa: E731
    largest = soft_values_of(ARM, "CQL").log_sum(values, policies, 4, seeds.child(SEED, "log_sum"))
    gap = largest - values_by_hand(CRITICS, OBSERVATION, ACTION)
    np.testing.assert_allclose(conservative.value, plain.value + 3.0 * tf.reduce_sum(gap, axis=0), rtol=1e-4)
    np.testing.assert_allclose(conservative.metrics["gap"], np.mean(gap), rtol=1e-4)


def test_cql_of_choices_is_exact():
    critics = [np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]), np.array([[0.0, 1.5, 1.0], [1.0, 1.0, 1.0]])]
    models = {"policy": [linear(np.ones((2, 3)))], "critic": [linear(own) for own in critics]}
    loss = build_with(CQL(**SETTINGS), SHAPES, **models)._critic_loss(tensors(CHOICES), SEED)
    values = np.stack([CHOICES.observation @ own for own in critics])
    gap = special.logsumexp(values, axis=-1) - values[:, np.arange(3), CHOICES.action]
    np.testing.assert_allclose(loss.metrics["gap"], gap.mean(), rtol=1e-5)


def test_behaviour_cloning_is_the_log_likelihood():
    recorded = attrs.evolve(ARM, target={"action": ARM.action, "return_to_go": Array(())}, is_recorded=True)
    trainer = build_with(BehaviourCloning(), recorded, policy=[linear(NORMAL_POLICY)])
    output = tf.constant(OBSERVATION @ NORMAL_POLICY, tf.float32)
    loss = trainer.loss(output, tensors(ARM_BATCH), SEED)
    np.testing.assert_allclose(loss.value, -log_likelihood_by_hand(NORMAL_POLICY), rtol=1e-4)
    with pytest.raises(errors.UsageError, match="imitates what somebody else did; in environment 'arm' the agent acts itself"):
        BehaviourCloning().networks(ARM)


# One observation, three actions: in four of eight rows the first, which earns 0, in three the second, 1, and once the last, -1.
BANDIT = make_batch(
    observation=np.ones((8, 2), np.float32),
    action=np.array([0, 0, 0, 0, 1, 1, 1, 2]),
    reward=np.float32([0, 0, 0, 0, 1, 1, 1, -1]),
    discount=np.zeros(8, np.float32),
    next_observation=np.ones((8, 2), np.float32),
    weight=np.ones(8, np.float32),
)


def learned(kind, spec=SHAPES, **settings):
    """Returns the probabilities of the three actions after 200 updates from the same eight rows."""
    rates = {} if kind is BehaviourCloning else {"discount": 0.9, "target_update_rate": 0.1}
    trainer = kind(learning_rate=0.05, **rates, **settings)
    models = {
        name: [linear(np.zeros((2, network.num_outputs))) for _ in range(network.count)]
        for name, network in trainer.networks(spec).items()
    }
    build_with(trainer, spec, **models)
    update = tf.function(lambda batch, seed: trainer.learn(batch, seed).metrics, autograph=False)
    for step in range(200):
        update(tensors(BANDIT), seeds.at(1, step))
    return tf.nn.softmax(trainer.model(tf.ones([1, 2]))).numpy()[0]


def test_a_clone_does_what_was_done_most():
    np.testing.assert_allclose(learned(BehaviourCloning, RECORDED), [0.5, 0.375, 0.125], atol=0.02)


@pytest.mark.slow
def test_iql_and_cql_do_what_earned_most():
    assert learned(IQL, inverse_temperature=5.0)[1] > 0.9
    cold = {"initial_temperature": 0.05, "temperature_learning_rate": 0.0}
    assert learned(CQL, conservative_weight=0.1, **cold)[1] > 0.9


def test_an_advantage_that_does_not_count_is_found():
    """Planted bug: all advantages weigh alike, so that the most frequent action is imitated."""
    np.testing.assert_allclose(learned(IQL, inverse_temperature=0.0), [0.5, 0.375, 0.125], atol=0.02)
