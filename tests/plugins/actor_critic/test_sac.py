"""SAC against arithmetic in NumPy, with linear networks, by every execution."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, seeds
from agentlab.distribution import SquashedNormal
from agentlab.model import RecurrentModel
from agentlab.schedules import Linear
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary, MultiDiscrete
from agentlab.spec.environment_spec import MASK
from agentlab.trainer import Setup
from agentlab_actor_critic.sac import SAC
from critics_by_hand import (
    ARM,
    ARM_BATCH,
    CRITICS,
    NORMAL_POLICY,
    SEED,
    TARGETS,
    build_with,
    linear,
    linear_critics,
    numerical_gradient,
    scaled,
    squashed_by_hand,
    values_by_hand,
    weights_of,
)
from making import make_batch, tensors

DISCOUNT, TEMPERATURE = 0.9, 0.2


def built(**settings):
    """Returns an SAC for the arm whose target networks have weights of their own, and its models."""
    settings = {"discount": DISCOUNT, "optimizer": "sgd", "learning_rate": 0.1, "target_update_rate": 0.25, **settings}
    policy, critics = linear(NORMAL_POLICY), linear_critics(*(TARGETS if settings["target_update_rate"] else CRITICS))
    trainer = build_with(
        SAC(**{"initial_temperature": TEMPERATURE, **settings}),
        ARM,
        policy=[policy],
        critic=critics[: settings.get("num_critics", 2)],
    )
    for critic, weights in zip(critics, CRITICS, strict=True):
        critic.set_weights([weights])
    return trainer, policy, critics


def noise_of(*names):
    """Returns the normal numbers that SAC draws in its update for actions of the arm, `[4, 2]`."""
    seed = SEED
    for name in names:
        seed = seeds.child(seed, name)
    return np.float64(seeds.normal(seed, [4, 2]))


def targets_by_hand(target_weights=TARGETS):
    """Returns what the values of the batch should have been, `[N]`."""
    output = np.float64(ARM_BATCH.next_observation) @ NORMAL_POLICY
    action, log_probability = squashed_by_hand(output, noise_of("next_action"))
    values = values_by_hand(target_weights, ARM_BATCH.next_observation, action).min(axis=0) - TEMPERATURE * log_probability
    return ARM_BATCH.reward + DISCOUNT * ARM_BATCH.discount * values


def critic_step_by_hand(targets):
    """Returns the loss, and the critics' weights after a step of gradient descent."""
    difference = values_by_hand(CRITICS, ARM_BATCH.observation, scaled(ARM_BATCH.action)) - targets  # [C, N]
    seen = np.concatenate([ARM_BATCH.observation, scaled(ARM_BATCH.action)], axis=-1)
    gradient = np.einsum("cn,nf->cf", ARM_BATCH.weight * difference, seen)[..., None] / len(targets)
    return np.mean(ARM_BATCH.weight * 0.5 * np.square(difference).sum(axis=0)), difference, CRITICS - 0.1 * gradient


def policy_loss_by_hand(policy, critics):
    """Returns the loss of the policy and its entropy."""
    action, log_probability = squashed_by_hand(np.float64(ARM_BATCH.observation) @ policy, noise_of("policy", "action"))
    values = values_by_hand(critics, ARM_BATCH.observation, action).min(axis=0)
    return np.mean(ARM_BATCH.weight * (TEMPERATURE * log_probability - values)), -log_probability.mean()


@pytest.mark.slow
def test_one_update_by_hand(compiled):
    trainer, policy, critics = built()
    update = compiled(trainer.learn)(tensors(ARM_BATCH), SEED)
    metrics = {name: np.mean(value) for name, value in update.metrics.items()}
    assert set(metrics) == set(trainer.metric_names)

    # The critics move to the targets, and the target networks to the critics.
    loss, difference, moved = critic_step_by_hand(targets_by_hand())
    assert metrics["critic_loss"] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(update.priority, np.abs(difference).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(weights_of(critics), moved, rtol=1e-5)
    held = [variable.numpy() for name, variable in sorted(trainer.variables().items()) if "/held/" in name]
    np.testing.assert_allclose(np.reshape(held, TARGETS.shape), 0.75 * TARGETS + 0.25 * moved, rtol=1e-5)

    # The policy learns from the critics as they are now.
    loss, entropy = policy_loss_by_hand(NORMAL_POLICY, moved)
    assert metrics["policy_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["entropy"] == pytest.approx(entropy, rel=1e-5)
    gradient = numerical_gradient(lambda weights: policy_loss_by_hand(weights, moved)[0], NORMAL_POLICY)
    np.testing.assert_allclose(policy.get_weights()[0], NORMAL_POLICY - 0.1 * gradient, rtol=1e-4)

    # The temperature falls where the entropy is above its target, which is -2 by default.
    expected = TEMPERATURE * np.exp(-0.1 * (entropy + 2.0))
    assert metrics["temperature"] == pytest.approx(expected, rel=1e-5)
    assert float(trainer.temperature) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "factor"),
    [({"temperature_learning_rate": 0.0}, 0.0), ({"temperature_learning_rate": 0.5, "target_entropy": 1.5}, 0.5)],
)
def test_the_temperature_has_a_rate_and_a_target_of_its_own(settings, factor):
    trainer, _, _ = built(**settings)
    entropy = float(trainer.learn(tensors(ARM_BATCH), SEED).metrics["entropy"])
    assert float(trainer.temperature) == pytest.approx(TEMPERATURE * np.exp(-factor * (entropy - 1.5)), rel=1e-5)


@pytest.mark.slow
def test_critics_without_target_networks_bootstrap_from_themselves(compiled):
    trainer, _, critics = built(target_update_rate=None)
    update = compiled(trainer.learn)(tensors(ARM_BATCH), SEED)
    loss, _, moved = critic_step_by_hand(targets_by_hand(CRITICS))
    assert float(update.metrics["critic_loss"]) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(weights_of(critics), moved, rtol=1e-5)
    assert not [name for name in trainer.variables() if "held" in name]


@pytest.mark.slow
def test_the_policy_learns_at_its_period(compiled):
    trainer, policy, _ = built(policy_period=3)
    learn, before, changed, losses = compiled(trainer.learn), NORMAL_POLICY, [], []
    for index in range(7):
        metrics = learn(tensors(ARM_BATCH), seeds.at(1, index)).metrics
        after = policy.get_weights()[0]
        changed.append(bool(np.any(after != np.float32(before))))
        losses.append(float(metrics["policy_loss"]))
        before = after
    assert changed == [True, False, False, True, False, False, True]
    assert losses[0] == losses[1] == losses[2] != losses[3]  # of updates in between, the metrics are the last one's


@pytest.mark.parametrize(("period", "spans"), [(1, 800), (2, 400), (3, 267)])
def test_a_schedule_spans_the_updates_of_its_network(period, spans):
    """Of 1,000 steps, 800 are followed by an update: those from step 201 on."""
    policy, critics = linear(NORMAL_POLICY), linear_critics(*CRITICS)
    trainer = SAC(learning_rate=Linear(1.0, 0.0), learning_starts=201, policy_period=period)
    trainer.build(Setup(ARM, {"policy": [policy], "critic": critics}, steps=1_000))
    ends = {"critic": 800, "policy": spans}
    for name, end in ends.items():
        learning_rate = trainer.trained[name].updater.optimizer._learning_rate
        assert float(learning_rate(end)) == 0.0
        assert float(learning_rate(end - 1)) > 0.0


@pytest.mark.slow
def test_a_single_critic(compiled):
    trainer, _, _ = built(num_critics=1)
    update = compiled(trainer.learn)(tensors(ARM_BATCH), SEED)
    values = values_by_hand(CRITICS[:1], ARM_BATCH.observation, scaled(ARM_BATCH.action))
    np.testing.assert_allclose(update.metrics["q_mean"], values.mean(), rtol=1e-5)
    np.testing.assert_allclose(update.priority, np.abs(values - targets_by_hand(TARGETS[:1]))[0], rtol=1e-5)


CHOICE = EnvironmentSpec("choice", Array((2,)), Discrete(3))
LOGITS = np.array([[0.5, -0.25, 0.1], [0.2, 0.4, -0.6]])
VALUES = np.array([[[1.0, 0.5, -0.5], [0.2, 2.0, 0.3]], [[0.8, 0.7, 0.25], [1.5, -1.0, 0.1]]])
NEXT = np.array([[[2.0, -1.0, 0.5], [0.4, 1.0, 0.0]], [[1.0, 1.0, -1.0], [0.5, 0.5, 0.5]]])
CHOICE_BATCH = make_batch(
    observation=np.float32([[1, 0], [0, 1], [1, 1]]),
    action=np.int64([0, 2, 1]),
    reward=np.float32([1, 2, -1]),
    discount=np.float32([1, 0, 0.5]),
    next_observation=np.float32([[0, 1], [1, 0], [-1, 0.5]]),
)


def soft_value_by_hand(logits, weights, observation):
    """Returns values `[N]` and entropies `[N]` of a policy, by all its choices."""
    preferences = np.float64(observation) @ logits
    probability = np.exp(preferences) / np.exp(preferences).sum(axis=-1, keepdims=True)
    entropy = -(probability * np.log(probability)).sum(axis=-1)
    values = np.einsum("nf,cfa->cna", np.float64(observation), weights).min(axis=0)
    return (probability * values).sum(axis=-1) + TEMPERATURE * entropy, entropy


@pytest.mark.quick("eager", "graph")
def test_one_update_with_choices_by_hand(compiled):
    policy, critics = linear(LOGITS), [linear(weights) for weights in NEXT]
    settings = {"discount": DISCOUNT, "optimizer": "sgd", "learning_rate": 0.1, "initial_temperature": TEMPERATURE}
    trainer = build_with(SAC(**settings), CHOICE, policy=[policy], critic=critics)
    for critic, weights in zip(critics, VALUES, strict=True):
        critic.set_weights([weights])
    update = compiled(trainer.learn)(tensors(CHOICE_BATCH), SEED)

    value, _ = soft_value_by_hand(LOGITS, NEXT, CHOICE_BATCH.next_observation)
    targets = CHOICE_BATCH.reward + DISCOUNT * CHOICE_BATCH.discount * value
    all_values = np.einsum("nf,cfa->cna", np.float64(CHOICE_BATCH.observation), VALUES)
    difference = all_values[:, np.arange(3), CHOICE_BATCH.action] - targets
    assert float(update.metrics["critic_loss"]) == pytest.approx(0.5 * np.square(difference).sum(axis=0).mean(), rel=1e-5)
    moved = weights_of(critics)
    for critic in range(2):
        gradient = np.zeros((2, 3))
        for row, action in enumerate(CHOICE_BATCH.action):
            gradient[:, action] += difference[critic, row] * CHOICE_BATCH.observation[row] / 3
        np.testing.assert_allclose(moved[critic], VALUES[critic] - 0.1 * gradient, rtol=1e-5)

    def loss(logits):
        return -soft_value_by_hand(logits, moved, CHOICE_BATCH.observation)[0].mean()

    entropy = soft_value_by_hand(LOGITS, moved, CHOICE_BATCH.observation)[1].mean()
    assert float(update.metrics["policy_loss"]) == pytest.approx(loss(LOGITS), rel=1e-5)
    np.testing.assert_allclose(policy.get_weights()[0], LOGITS - 0.1 * numerical_gradient(loss, LOGITS), rtol=1e-4)
    expected = TEMPERATURE * np.exp(-0.1 * (entropy - 0.98 * np.log(3)))
    assert float(trainer.temperature) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_forbidden_choices_count_nothing(compiled):
    """With the last choice forbidden everywhere, all comes to the same as where there are only the other two."""
    masked = EnvironmentSpec("masked", {"position": Array((2,)), MASK: MultiBinary((3,))}, Discrete(3))
    allowed = np.int8([[1, 1, 0]] * 3)
    two = {"observation": CHOICE_BATCH.observation, "next_observation": CHOICE_BATCH.next_observation}
    three = {name: {"position": values, MASK: allowed} for name, values in two.items()}
    metrics = []
    for spec, observations, count in ((masked, three, 3), (attrs.evolve(CHOICE, action=Discrete(2)), two, 2)):
        policy, critics = linear(LOGITS[:, :count]), [linear(weights[:, :count]) for weights in VALUES]
        trainer = build_with(SAC(initial_temperature=TEMPERATURE), spec, policy=[policy], critic=critics)
        batch = attrs.evolve(CHOICE_BATCH, action=np.int64([0, 1, 1]), **observations)
        metrics.append(compiled(trainer.learn)(tensors(batch), SEED).metrics)
    for name in ("critic_loss", "policy_loss", "entropy", "error"):
        np.testing.assert_allclose(metrics[0][name], metrics[1][name], rtol=1e-5)


@pytest.mark.slow
def test_bounds_of_an_action_change_nothing_but_its_scale(compiled):
    """The same experience in other units comes to the same weights: neither targets nor the entropy depend on the bounds."""
    unit = attrs.evolve(ARM, action=Array((2,), minimum=-1.0, maximum=1.0))
    weights = []
    for spec, action in ((ARM, ARM_BATCH.action), (unit, np.float32(scaled(ARM_BATCH.action)))):
        policy, critics = linear(NORMAL_POLICY), linear_critics(*CRITICS)
        trainer = build_with(SAC(learning_rate=0.1), spec, policy=[policy], critic=critics)
        compiled(trainer.learn)(tensors(attrs.evolve(ARM_BATCH, action=action)), SEED)
        weights.append([policy.get_weights()[0], *weights_of(critics), float(trainer.temperature)])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_policy_acts_within_the_bounds_of_every_element():
    distribution = SAC().distribution(ARM)
    assert isinstance(distribution, SquashedNormal)
    actions = distribution.of(tf.random.stateless_normal([2_000, 4], [1, 2]) * 3.0).sample(SEED).numpy()
    np.testing.assert_allclose(actions.min(axis=0), [-1.0, -3.0], atol=1e-3)
    np.testing.assert_allclose(actions.max(axis=0), [1.0, 1.0], atol=1e-3)


ADVICE = (
    "A wrapper bounds those of a Gymnasium environment: agentlab.run(TASK, environment=lambda: "
    "gymnasium.wrappers.TransformAction(gymnasium.make(ID), lambda action: action, gymnasium.spaces.Box(-1.0, 1.0, (2,))))."
)
UNUSABLE = {
    "unbounded": (Array((2,)), "element [0] of those of environment 'arm' reaches from -inf to inf"),
    "open above": (
        Array((2,), minimum=[-1.0, 0.0], maximum=[1.0, np.inf]),
        "element [1] of those of environment 'arm' reaches",
    ),
    "open below": (
        Array((2,), minimum=[-1.0, -np.inf], maximum=1.0),
        "element [1] of those of environment 'arm' reaches from -inf",
    ),
    "without width": (
        Array((2,), minimum=[-1.0, 1.0], maximum=1.0),
        "element [1] of those of environment 'arm' reaches from 1.0 to",
    ),
}


@pytest.mark.parametrize(("space", "clause"), UNUSABLE.values(), ids=UNUSABLE)
def test_actions_without_finite_bounds_are_refused(space, clause):
    with pytest.raises(errors.UsageError) as failure:
        SAC().networks(attrs.evolve(ARM, action=space))
    assert str(failure.value).startswith("SAC needs actions within finite bounds, the lower below the upper; ")
    assert clause in str(failure.value)
    assert str(failure.value).endswith(ADVICE)


@pytest.mark.parametrize(
    "space", [MultiDiscrete((2, 3)), Discrete(3, shape=(2,)), {"a": Discrete(2)}, Array((2,), "int32", 0, 5)]
)
def test_other_actions_are_refused(space):
    with pytest.raises(errors.UsageError, match=r"environment 'arm' takes a .*Choose another trainer, or another environment"):
        SAC().networks(attrs.evolve(ARM, action=space))


def test_an_unbounded_environment_is_refused_before_training():
    gymnasium = pytest.importorskip("gymnasium")

    class Unbounded(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
        action_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))

    with pytest.raises(errors.UsageError, match="SAC needs actions within finite bounds"):
        agentlab.make_agent("sac", environment=Unbounded)


@pytest.mark.parametrize(
    "wrong",
    [
        {"discount": 1.1},
        {"num_steps": 0},
        {"num_critics": 0},
        {"target_update_rate": 0.0},
        {"target_update_rate": 1.5},
        {"policy_period": 0},
        {"initial_temperature": 0.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        SAC(**wrong)


class Stateful(RecurrentModel):
    def initial_state(self, num_rows):
        return tf.zeros([num_rows, 1])

    def call(self, observation, state, training=False):
        return observation, state


def test_a_model_with_a_state_is_refused():
    with pytest.raises(errors.UsageError, match="SAC values single observations; model 'memento' carries a state"):
        build_with(SAC(), ARM, policy=[Stateful(name="memento")], critic=linear_critics(*CRITICS))


@pytest.mark.slow
@pytest.mark.parametrize("gear", ["host", "device"])
@pytest.mark.parametrize("network", ["critic", "policy"])
def test_learning_that_diverges_names_network_and_update(tmp_path, monkeypatch, network, gear):
    """Planted: a loss is no number, from the first update on."""
    right = getattr(SAC, f"_{network}_loss")

    def loss(*arguments):
        result = right(*arguments)
        return attrs.evolve(result, value=result.value * np.nan)

    monkeypatch.setattr(SAC, f"_{network}_loss", loss)
    changes = {
        "environment": {"name": "pendulum"},
        "model": {"hidden_units": [8]},
        "trainer": {"learning_starts": 20},
        "memory": {"capacity": 200, "batch_size": 8},
        "steps": 200,
        "gear": gear,
        "execution": "graph",
        "evaluation": {"environment": {"name": "pendulum"}, "episodes": 1},
    }
    with pytest.raises(
        errors.TrainingFault, match=rf"by step .*: {network}_loss is nan at update 1, .*weights of network '{network}' are"
    ):
        agentlab.run("sac", 0, changes, run_dir=tmp_path / "run")
