"""Group-relative policy optimization: advantages, losses and masks by hand, and what it learns where something is broken."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.groups import group_advantages, group_deviations
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.host.gear import HostGear
from agentlab.memory import Memory, Request
from agentlab.sampler import Stochastic
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import Batch
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.text.writing import Writing
from agentlab_memories.rollout import Rollout
from agentlab_policy_gradient import grpo
from agentlab_policy_gradient.grpo import GRPO
from making import build

SYMBOLS = {"symbol": Array((1,), "int64", 0, 2), "action_mask": Array((3,), "bool")}
SPEC = EnvironmentSpec("toy", SYMBOLS, Discrete(3), max_episode_steps=2, group_size=2)
SEED = seeds.at(0, 0)
FREE, ONLY_2 = [True, True, True], [False, False, True]


class Fixed(Memory):
    """Hands out one batch."""

    def __init__(self, batch):
        self.batch = batch

    def build(self, layout):
        pass

    def add(self, step, row):
        pass

    def sample(self, seed):
        return self.batch


def rollout(reward=((0.0, 1.0), (0.0, 0.0)), output=()):
    """Returns two attempts of two steps. Row 0 ends after its first character, so its second step leaves no choice."""
    symbol = tf.constant([[[0], [1]], [[0], [2]]], tf.int64)
    mask = tf.constant([[FREE, ONLY_2], [FREE, FREE]])
    flags = tf.constant([[False, True], [False, True]])
    return Batch(
        observation={"symbol": symbol, "action_mask": mask},
        action=tf.constant([[1, 2], [2, 0]], tf.int64),
        reward=tf.constant(reward),
        discount=1.0 - tf.cast(flags, tf.float32),
        next_observation={"symbol": symbol, "action_mask": mask},
        ended=flags,
        acted=tf.ones([2, 2], tf.bool),
        output=output,
    )


def table(values=((0.0,) * 3,) * 3):
    """Returns a model whose logits after symbol s are row s of a table."""
    embedding = keras.layers.Embedding(3, 3)
    model = keras.Sequential([keras.Input((1,), dtype="int64"), embedding, keras.layers.Flatten()])
    embedding.embeddings.assign(values)
    return model


def updated(values=((0.0,) * 3,) * 3, batch=None, then=None, **settings):
    """Returns the table after one update by gradient descent, and its metrics; `then` are the logits once it is built."""
    trainer, model = GRPO(optimizer="sgd", learning_rate=1.0, **{"max_gradient_norm": None, **settings}), table(values)
    build(trainer, SPEC, model, num_environments=2)
    if then is not None:
        model.set_weights([np.float32(then)])
    metrics = trainer.update(Fixed(rollout() if batch is None else batch), SEED).metrics
    assert set(metrics) == set(GRPO.metric_names)
    return model.get_weights()[0], {name: float(value) for name, value in metrics.items()}


# ---- by hand ------------------------------------------------------------------------------------------------------------


def test_advantages_are_relative_to_the_group(compiled):
    reward = tf.constant([3.0, 1.0, 5.0, 5.0, 0.0, 4.0])
    plain, scaled, deviations = compiled(
        lambda reward: (group_advantages(reward, 2), group_advantages(reward, 2, True), group_deviations(reward, 2))
    )(reward)
    assert plain.numpy().tolist() == [1.0, -1.0, 0.0, 0.0, -2.0, 2.0]
    np.testing.assert_allclose(scaled, [1, -1, 0, 0, -1, 1], atol=2e-4)
    assert deviations.numpy().tolist() == [1.0, 0.0, 2.0]


def test_one_step_along_the_policy_gradient():
    weights, metrics = updated()

    # Three choices count a third each, with advantages of 0.5, -0.5 and -0.5; the gradient of log p(a) by logits is e_a - p.
    first = (0.5 * np.array([-1, 2, -1]) - 0.5 * np.array([-1, -1, 2])) / 9
    last = -0.5 * np.array([2, -1, -1]) / 9
    np.testing.assert_allclose(weights, [first, [0, 0, 0], last], atol=1e-6)  # symbol 1 left no choice: nothing is learned
    norm = math.sqrt(np.sum(np.square([first, last])))
    expected = {
        "policy_loss": (0.5 - 0.5 - 0.5) * math.log(3) / 3,
        "gradient_norm": norm,
        "reward": 0.5,
        "reward_deviation": 0.5,
        "equal_groups": 0.0,
        "exact_match": 0.5,
        "completion_length": 1.5,
        "kl": 0.0,
        "entropy": math.log(3),
        "clip_fraction": 0.0,
    }
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name


def test_a_group_of_equal_rewards_teaches_nothing():
    weights, metrics = updated(batch=rollout(reward=((0.0, 1.0), (1.0, 0.0))))
    assert not np.any(weights)
    assert (metrics["equal_groups"], metrics["reward_deviation"], metrics["exact_match"]) == (1.0, 0.0, 1.0)


def test_advantages_divided_by_the_deviation_are_twice_as_large_here():
    np.testing.assert_allclose(updated(normalize_advantages=True)[0], 2 * updated()[0], rtol=1e-3)


def test_the_divergence_from_the_start_by_hand():
    # The policy has moved from the uniform one: p(1|0) = 1/2, p(2|0) = 1/4; where symbol 2 was, nothing has changed.
    moved = [[math.log(1.0), math.log(2.0), math.log(1.0)], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    log_ratio = np.log([(1 / 3) / (1 / 2), (1 / 3) / (1 / 4), 1.0])  # start over policy, of the three choices
    divergence = np.exp(log_ratio) - 1 - log_ratio
    assert updated(then=moved, kl_weight=1e-9)[1]["kl"] == pytest.approx(np.mean(divergence), abs=1e-6)

    # Where it doesn't count it is reported of every eighth row, here of the first, which has one choice.
    assert updated(then=moved)[1]["kl"] == pytest.approx(divergence[0], abs=1e-6)

    # Its gradient pulls the policy back, where rewards are equal: d/dlog p of (r - 1 - log r) is 1 - r.
    equal = rollout(reward=((0.0, 0.0), (0.0, 0.0)))
    weights, _ = updated(then=moved, batch=equal, kl_weight=0.3)
    policy = np.array([0.25, 0.5, 0.25])
    pull = (1 - 2 / 3) * (np.eye(3)[1] - policy) + (1 - 4 / 3) * (np.eye(3)[2] - policy)
    np.testing.assert_allclose(weights[0], np.array(moved[0]) - 0.3 * pull / 3, atol=1e-6)
    np.testing.assert_allclose(weights[1:], moved[1:], atol=1e-6)


def test_the_bonus_for_entropy_by_hand():
    # Rewards are equal, so that only the bonus counts. Of the three choices, two were made by (1/4, 1/2, 1/4), one evenly.
    moved = [[0.0, math.log(2.0), 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    weights, metrics = updated(then=moved, batch=rollout(reward=((0.0, 0.0), (0.0, 0.0))), entropy_weight=0.3)
    policy = np.array([0.25, 0.5, 0.25])
    entropy = -np.sum(policy * np.log(policy))
    assert metrics["entropy"] == pytest.approx((2 * entropy + math.log(3)) / 3, abs=1e-6)

    # The gradient of the entropy by a logit is -p (log p + entropy).
    np.testing.assert_allclose(weights[0], moved[0] - 0.3 * 2 / 3 * policy * (np.log(policy) + entropy), atol=1e-6)
    np.testing.assert_allclose(weights[1:], moved[1:], atol=1e-6)


def test_clipped_ratios_by_hand():
    # By the outputs that acted, p(1|0) was 1/5 and is 1/3: a ratio of 5/3. p(2|0) was 2/5: 5/6. p(0|2) was 1/3: 1.
    output = tf.math.log([[[2.0, 1.0, 2.0], [1.0, 1.0, 1.0]], [[2.0, 1.0, 2.0], [1.0, 1.0, 1.0]]])
    weights, metrics = updated(batch=rollout(output=output), clip=0.2)
    assert metrics["clip_fraction"] == pytest.approx(1 / 3)
    assert metrics["policy_loss"] == pytest.approx(-(0.5 * 1.2 - 0.5 * 5 / 6 - 0.5) / 3, abs=1e-6)

    # The first no longer counts, as its probability has risen far enough; the others by their ratio.
    first = -0.5 * (5 / 6) * np.array([-1, -1, 2]) / 9
    np.testing.assert_allclose(weights, [first, [0, 0, 0], -0.5 * np.array([2, -1, -1]) / 9], atol=1e-6)


@pytest.mark.slow
def test_updates_are_the_same_compiled(compiled):
    weights = {"kl_weight": 0.1, "entropy_weight": 0.1}
    settings = {"clip": 0.2, "num_epochs": 3, "num_minibatches": 2, "learning_rate": 0.1, **weights}
    trainer, model = GRPO(**settings), table()
    build(trainer, SPEC, model, num_environments=2)
    batch = rollout(output=tf.zeros([2, 2, 3]))
    compiled(lambda batch: trainer.update(Fixed(batch), SEED).metrics)(batch)
    other, plain = GRPO(**settings), table()
    build(other, SPEC, plain, num_environments=2)
    other.update(Fixed(batch), SEED)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], atol=1e-5)


def test_it_learns_from_whole_episodes():
    assert GRPO().request(SPEC) == Request(length=2, order="all")
    assert GRPO(clip=0.2).request(SPEC).keep == ("output",)
    assert GRPO().update_schedule(SPEC, 6).period == 12


# ---- learning -----------------------------------------------------------------------------------------------------------


def learned(gear=DeviceGear, updates=60, rows=16):
    """Returns the mean return of the last updates of an agent that learns to write more of a letter than by chance, 1 in 4."""
    environment = Writing(
        prompts="text",
        text="abc\n" * 30,
        prompt_length=2,
        completion_length=4,
        stop="",
        reward="prefer",
        characters="b",
        group_size=4,
    )
    size = environment.spec.vocabulary.size
    embedding = keras.layers.Embedding(size, size, embeddings_initializer="zeros")
    model = keras.Sequential([keras.Input((1,), dtype="int64"), embedding, keras.layers.Flatten()])
    parts = Parts({"policy": [model]}, Stochastic(), GRPO(learning_rate=0.05), Rollout())
    agent = Agent(environment.spec, parts, rows, execution="graph")
    hosted = environment if gear is DeviceGear else HostedEnvironment(environment, rows)
    running = gear(agent, hosted, seed=0)
    running.start()
    running.run((updates - 10) * environment.spec.max_episode_steps)
    agent.learner.means.collect()
    running.run(10 * environment.spec.max_episode_steps)
    return agent.learner.means.collect()["reward"], model.get_weights()[0]


@pytest.mark.slow
def test_it_learns_what_is_rewarded_alike_in_both_gears():
    (reward, weights), (_, other) = learned(), learned(HostGear)
    assert reward > 0.9
    np.testing.assert_allclose(weights, other, atol=1e-3)


BUGS = {
    "other groups": lambda reward, size, normalize: tf.reverse(group_advantages(reward, size), [0]),
    "the wrong sign": lambda reward, size, normalize: -group_advantages(reward, size),
    "no comparison": lambda reward, size, normalize: tf.ones_like(reward),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_seen(bug, monkeypatch):
    monkeypatch.setattr(grpo, "group_advantages", BUGS[bug])
    assert learned()[0] < 0.7


def test_a_mask_that_is_forgotten_is_seen(monkeypatch):
    monkeypatch.setattr(GRPO, "_choices", lambda self, rollout: rollout.acted)
    _, metrics = updated()
    assert metrics["completion_length"] == 2.0
    assert metrics["entropy"] == pytest.approx(math.log(3) * 3 / 4, abs=1e-6)


# ---- refusals -----------------------------------------------------------------------------------------------------------


def test_a_group_of_one_is_refused():
    with pytest.raises(errors.UsageError, match=r"'writing' shows each problem once, a group of one"):
        GRPO().networks(Writing().spec)
    with pytest.raises(errors.UsageError, match="'cartpole' shows each problem once"):
        GRPO().networks(CartPole().spec)


def test_rows_that_dont_divide_are_refused():
    for settings, rows, message in (
        ({}, 3, "3 environments side by side are no whole groups of 2"),
        ({"num_minibatches": 3, "clip": 0.2}, 4, "4 rows can't be divided into 3 minibatches"),
    ):
        with pytest.raises(errors.UsageError, match=message):
            build(GRPO(**settings), SPEC, table(), num_environments=rows)


@pytest.mark.parametrize("settings", [{"num_epochs": 2}, {"num_minibatches": 2}])
def test_several_steps_need_a_clip(settings):
    with pytest.raises(ValueError, match="need 'clip'"):
        GRPO(**settings)
