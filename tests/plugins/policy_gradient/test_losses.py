"""One update of PPO, A2C and REINFORCE against arithmetic by hand, of linear networks, by every execution."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing.checks.updates import Holding
from agentlab.types import Batch
from agentlab_policy_gradient.a2c import A2C
from agentlab_policy_gradient.ppo import PPO
from agentlab_policy_gradient.reinforce import Reinforce
from making import build

pytestmark = pytest.mark.slow

SPEC = EnvironmentSpec("plane", Array((2,)), Discrete(3))
SEED = seeds.at(7, 0)
ROWS, LENGTH, FACTOR, LAMBDA = 2, 3, 0.5, 0.5
POLICY = np.float32([[0.2, -0.4, 0.1], [0.3, 0.5, -0.2]])
VALUE = np.float32([[1.0], [-0.5]])

generator = np.random.default_rng(5)
OBSERVATION, BEYOND = generator.normal(size=(2, ROWS, LENGTH, 2)).astype(np.float32)
ACTION = generator.integers(0, 3, (ROWS, LENGTH))
REWARD = generator.normal(size=(ROWS, LENGTH)).astype(np.float32)
DISCOUNT, ENDED = np.float32([[1, 0, 1], [1, 1, 1]]), np.array([[False, True, False], [True, False, False]])
OUTPUT = (OBSERVATION @ POLICY + generator.normal(size=(ROWS, LENGTH, 3)) * 0.4).astype(np.float32)  # of an older policy
WEIGHT = np.float32([[1.2, 1.2, 1.2], [1.2, 0.0, 1.2]])  # the second row's second step was only a reset


def rollout(output):
    leaves = (OBSERVATION, ACTION, REWARD, DISCOUNT, BEYOND, ENDED, WEIGHT > 0)
    return Batch(*map(tf.constant, leaves), output=tf.constant(output), weight=tf.constant(WEIGHT))


def dense(weights):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(weights.shape[1], use_bias=False)])
    model.set_weights([weights])
    return model


def updated(trainer, compiled, *weights, output=OUTPUT):
    """Returns how far each network's weights have moved, by one step of a rate of 1, and the metrics.

    `output` is what the acting network gave when the actions were taken.
    """
    models = [dense(kernel) for kernel in weights]
    build(trainer, SPEC, *models, num_environments=ROWS)
    memory = Holding()

    def update():
        memory.batch = rollout(output)
        return trainer.update(memory, SEED).metrics

    metrics = compiled(update)()
    moved = [before - model.get_weights()[0] for before, model in zip(weights, models, strict=True)]
    return moved, {name: float(value) for name, value in metrics.items()}


SETTINGS = {"optimizer": "sgd", "learning_rate": 1.0, "rollout_steps": LENGTH, "discount": FACTOR, "max_gradient_norm": None}


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def advantages(values, next_values, trace_decay):
    """Returns advantages `[B, T]` by a loop."""
    expected, after = np.zeros((ROWS, LENGTH)), np.zeros(ROWS)
    for step in reversed(range(LENGTH)):
        error = REWARD[:, step] + FACTOR * DISCOUNT[:, step] * next_values[:, step] - values[:, step]
        expected[:, step] = after = error + FACTOR * trace_decay * ~ENDED[:, step] * after
    return expected


def by_hand(trace_decay, normalize, entropy_weight, gain_of):
    """Returns the gradients of both networks and the metrics; `gain_of` gives the gain and its slope by log-probability."""
    values, next_values = (OBSERVATION @ VALUE)[..., 0], (BEYOND @ VALUE)[..., 0]
    advantage = advantages(values, next_values, trace_decay)
    returns = advantage + values
    if normalize:
        mean = np.average(advantage, weights=WEIGHT)
        advantage = (advantage - mean) / np.sqrt(np.average((advantage - mean) ** 2, weights=WEIGHT))

    # [B, T, 3] log-probabilities, and those of the actions taken, [B, T].
    log_policy, old = log_softmax(OBSERVATION @ POLICY), log_softmax(OUTPUT)
    taken = np.eye(3)[ACTION]
    chosen, before = (log_policy * taken).sum(-1), (old * taken).sum(-1)
    gain, slope = gain_of(chosen, before, advantage)

    # Slopes of log pi(a) and of the entropy by the logits: [a] - pi, and -pi (log pi + entropy).
    policy = np.exp(log_policy)
    entropy = -(policy * log_policy).sum(-1)
    by_logits = -slope[..., None] * (taken - policy) + entropy_weight * policy * (log_policy + entropy[..., None])
    share = WEIGHT / WEIGHT.size
    of_policy = np.einsum("bt,bti,btk->ik", share, OBSERVATION, by_logits)
    of_value = np.einsum("bt,bti,bt->i", share, OBSERVATION, values - returns)[:, None]
    metrics = {
        "policy_loss": -(share * gain).sum(),
        "value_loss": (share * 0.5 * (values - returns) ** 2).sum(),
        "entropy": (share * entropy).sum(),
    }
    return of_policy, of_value, metrics, chosen - before


def clipped(clip):
    """Returns PPO's gain and its slope."""

    def gain_of(chosen, before, advantage):
        ratio = np.exp(chosen - before)
        plain, held = ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage
        return np.minimum(plain, held), np.where(plain <= held, plain, 0.0)

    return gain_of


def plain(chosen, before, advantage):
    """Returns the gain of a policy gradient and its slope."""
    return chosen * advantage, advantage


@pytest.mark.parametrize("normalize", [False, True])
def test_an_update_of_ppo(compiled, normalize):
    trainer = PPO(
        **SETTINGS, trace_decay=LAMBDA, num_epochs=1, num_minibatches=1, clip=0.2, entropy_weight=0.1,
        normalize_advantages=normalize,
    )  # fmt: skip
    (policy, value), metrics = updated(trainer, compiled, POLICY, VALUE)
    of_policy, of_value, expected, log_ratio = by_hand(LAMBDA, normalize, 0.1, clipped(0.2))
    np.testing.assert_allclose(policy, of_policy, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(value, of_value, rtol=1e-4, atol=1e-6)

    share, beyond = WEIGHT / WEIGHT.size, np.abs(np.exp(log_ratio) - 1) > 0.2
    assert 0 < beyond.sum() < beyond.size  # some are clipped, some are not
    expected |= {
        "approx_kl": (share * (np.exp(log_ratio) - 1 - log_ratio)).sum(),
        "clip_fraction": (share * beyond).sum(),
        "gradient_norm": np.sqrt((of_policy**2).sum() + (of_value**2).sum()),
    }
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("kind", "trace_decay"), [(A2C, LAMBDA), (Reinforce, 1.0)])
def test_an_update_along_the_policy_gradient(compiled, kind, trace_decay, normalize):
    settings = {"trace_decay": trace_decay} if kind is A2C else {}
    trainer = kind(**SETTINGS, **settings, entropy_weight=0.1, normalize_advantages=normalize)
    (policy, value), metrics = updated(trainer, compiled, POLICY, VALUE)
    of_policy, of_value, expected, _ = by_hand(trace_decay, normalize, 0.1, plain)
    np.testing.assert_allclose(policy, of_policy, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(value, of_value, rtol=1e-4, atol=1e-6)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-4), name


def test_a_shared_torso_follows_both_gradients(compiled):
    """The values are the fourth output; those of the observations are what the acting pass gave, here the linear ones."""
    whole = np.concatenate([POLICY, VALUE], axis=1)
    acted = np.concatenate([OUTPUT, OBSERVATION @ VALUE], axis=-1, dtype=np.float32)
    trainer = A2C(**SETTINGS, trace_decay=LAMBDA, shared_torso=True, value_weight=0.25)
    (moved,), metrics = updated(trainer, compiled, whole, output=acted)
    of_policy, of_value, _, _ = by_hand(LAMBDA, False, 0.0, plain)
    np.testing.assert_allclose(moved, np.concatenate([of_policy, 0.25 * of_value], axis=1), rtol=1e-4, atol=1e-6)
    assert metrics["gradient_norm"] == pytest.approx(np.linalg.norm(moved), rel=1e-4)


def test_a_target_divergence_ends_an_update(compiled):
    """Of two epochs over two minibatches, one: what they are learned from is another policy's already."""
    settings = {**SETTINGS, "num_epochs": 2, "num_minibatches": 2, "normalize_advantages": False}
    one, _ = updated(PPO(**settings, target_kl=1e-9), compiled, POLICY, VALUE)
    all_four, _ = updated(PPO(**settings), compiled, POLICY, VALUE)
    never, _ = updated(PPO(**settings, target_kl=1e9), compiled, POLICY, VALUE)
    np.testing.assert_array_equal(all_four[0], never[0])
    assert not np.allclose(one[0], all_four[0], atol=1e-4)
