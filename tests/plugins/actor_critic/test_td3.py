"""TD3 and DDPG against arithmetic in NumPy, with linear networks, by every execution."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, seeds
from agentlab.spec import Array, Discrete
from agentlab_actor_critic.td3 import TD3
from critics_by_hand import (
    ACTING_POLICY,
    ARM,
    ARM_BATCH,
    CRITICS,
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
from making import tensors

TARGET_POLICY = np.array([[-0.5, 0.75], [1.0, -0.3]])
DISCOUNT = 0.9
DDPG = {"num_critics": 1, "policy_period": 1, "target_noise": 0.0}


def built(**settings):
    """Returns a TD3 for the arm whose target networks have weights of their own, and its models."""
    settings = {"discount": DISCOUNT, "optimizer": "sgd", "learning_rate": 0.1, "target_update_rate": 0.25, **settings}
    policy, critics = linear(TARGET_POLICY), linear_critics(*TARGETS)[: settings.get("num_critics", 2)]
    trainer = build_with(TD3(**settings), ARM, policy=[policy], critic=critics)
    policy.set_weights([ACTING_POLICY])
    for critic, weights in zip(critics, CRITICS, strict=False):
        critic.set_weights([weights])
    return trainer, policy, critics


def update_by_hand(count=2, deviation=0.2, limit=0.5):
    """Returns the loss of the critics, the errors `[C, N]`, and their weights after a step of gradient descent."""
    noise = np.clip(deviation * np.float64(seeds.normal(seeds.child(SEED, "target_noise"), [4, 2])), -limit, limit)
    next_action = np.clip(np.tanh(np.float64(ARM_BATCH.next_observation) @ TARGET_POLICY) + noise, -1.0, 1.0)
    values = values_by_hand(TARGETS[:count], ARM_BATCH.next_observation, next_action).min(axis=0)
    targets = ARM_BATCH.reward + DISCOUNT * ARM_BATCH.discount * values
    difference = values_by_hand(CRITICS[:count], ARM_BATCH.observation, scaled(ARM_BATCH.action)) - targets
    seen = np.concatenate([ARM_BATCH.observation, scaled(ARM_BATCH.action)], axis=-1)
    gradient = np.einsum("cn,nf->cf", ARM_BATCH.weight * difference, seen)[..., None] / 4
    return np.mean(ARM_BATCH.weight * 0.5 * np.square(difference).sum(axis=0)), difference, CRITICS[:count] - 0.1 * gradient


def policy_loss_by_hand(policy, critics):
    """Returns the loss of the policy: minus the values of its actions by the first critic."""
    action = np.tanh(np.float64(ARM_BATCH.observation) @ policy)
    return -np.mean(ARM_BATCH.weight * values_by_hand(critics[:1], ARM_BATCH.observation, action)[0])


def held(trainer, path):
    """Returns what target networks hold, by the beginning of the names of their variables."""
    return [
        variable.numpy() for name, variable in sorted(trainer.variables().items()) if name.startswith(path) and "held" in name
    ]


@pytest.mark.parametrize(
    ("settings", "by_hand"),
    [
        ({}, {}),
        ({"target_noise": 2.0, "target_noise_limit": 0.3}, {"deviation": 2.0, "limit": 0.3}),
        (DDPG, {"count": 1, "deviation": 0.0}),
    ],
    ids=["td3", "much noise", "ddpg"],
)
@pytest.mark.slow
def test_one_update_by_hand(compiled, settings, by_hand):
    trainer, policy, critics = built(**settings)
    update = compiled(trainer.learn)(tensors(ARM_BATCH), SEED)
    assert set(update.metrics) == set(trainer.metric_names)

    # The critics move to the targets of the target networks.
    loss, difference, moved = update_by_hand(**by_hand)
    np.testing.assert_allclose(update.metrics["critic_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(update.priority, np.abs(difference).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(weights_of(critics), moved, rtol=1e-5)

    # The policy follows the first critic, as it is now.
    np.testing.assert_allclose(update.metrics["policy_loss"], policy_loss_by_hand(ACTING_POLICY, moved), rtol=1e-5)
    gradient = numerical_gradient(lambda weights: policy_loss_by_hand(weights, moved), ACTING_POLICY)
    after = ACTING_POLICY - 0.1 * gradient
    np.testing.assert_allclose(policy.get_weights()[0], after, rtol=1e-4)

    # All target networks follow.
    np.testing.assert_allclose(
        np.ravel(held(trainer, "critics")), np.ravel(0.75 * TARGETS[: len(moved)] + 0.25 * moved), rtol=1e-5
    )
    np.testing.assert_allclose(
        np.ravel(held(trainer, "target_policy")), np.ravel(0.75 * TARGET_POLICY + 0.25 * after), rtol=1e-4
    )


@pytest.mark.quick("graph")
def test_policy_and_target_networks_are_delayed(compiled):
    trainer, policy, critics = built(policy_period=2)
    learn, changes = compiled(trainer.learn), []
    before = None
    for index in range(5):
        learn(tensors(ARM_BATCH), seeds.at(1, index))
        after = [
            policy.get_weights()[0],
            np.stack(held(trainer, "critics")),
            held(trainer, "target_policy")[0],
            weights_of(critics),
        ]
        if before is not None:
            changes.append([bool(np.any(new != old)) for new, old in zip(after, before, strict=True)])
        before = after
    assert changes == [[False, False, False, True], [True] * 4, [False, False, False, True], [True] * 4]


def test_the_policy_acts_within_the_bounds_of_every_element():
    distribution = TD3().distribution(ARM)
    output = tf.constant([[0.0, 0.0], [50.0, 50.0], [-50.0, -50.0], [0.5, -0.5]])
    expected = [[0, -1], [1, 1], [-1, -3], [np.tanh(0.5), -1 + 2 * np.tanh(-0.5)]]
    np.testing.assert_allclose(distribution.of(output).mode(), expected, rtol=1e-6)
    assert [bound.tolist() for bound in distribution.bounds] == [[-1, -3], [1, 1]]


def test_it_has_no_probabilities():
    distribution = TD3().distribution(ARM).of(tf.zeros([1, 2]))
    with pytest.raises(errors.UsageError, match="The distribution Squashed has no entropy"):
        distribution.entropy()
    np.testing.assert_array_equal(distribution.sample(SEED), distribution.mode())


@pytest.mark.parametrize("space", [Array((2,)), Discrete(3)], ids=["unbounded", "choice"])
def test_other_actions_are_refused(space):
    with pytest.raises(errors.UsageError, match="TD3 needs actions"):
        TD3().networks(attrs.evolve(ARM, action=space))


@pytest.mark.parametrize(
    "wrong",
    [{"target_noise": -0.1}, {"target_noise_limit": 0.0}, {"policy_period": 0}, {"target_update_rate": 2.0}, {"num_steps": 0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        TD3(**wrong)


def test_the_task_ddpg_is_ddpg():
    trainer = agentlab.make_agent("ddpg", changes={"environment": {"name": "pendulum"}}).learner.trainer
    assert (trainer.num_critics, trainer.policy_period, trainer.target_noise) == (1, 1, 0.0)
