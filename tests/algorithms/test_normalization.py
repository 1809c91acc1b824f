"""What is normalised, by which numbers, and what a checkpoint may hold of it."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab.algorithms.normalization import Normalizer, normalized_spec
from agentlab.memory import Request
from agentlab.model import infer
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary
from agentlab.system.ranges import Range
from agentlab.task import Normalization
from agentlab.tensors.state import ranges_of, variables_of
from agentlab.trainer import Network
from agentlab.types import Step
from agentlab_memories.rollout import Rollout
from making import make_layout

OBSERVATIONS = Normalization(observations=True, epsilon=1e-12)
REWARDS = Normalization(rewards=True, epsilon=1e-12)
PLAIN = EnvironmentSpec("plain", Array((1,)), Discrete(2))


def step(observation, reward=0.0, ended=False, acted=True):
    """Returns N steps; what is a single number is that of every row."""
    rows = len(tf.nest.flatten(observation)[0])
    full = [tf.fill([rows], value) if np.ndim(value) == 0 else tf.constant(value) for value in (reward, ended, acted)]
    reward, ended, acted = tf.cast(full[0], tf.float32), full[1], full[2]
    observations = tf.nest.map_structure(tf.constant, observation)
    return Step(observations, tf.zeros([rows], tf.int64), reward, tf.ones([rows]), observations, ended | ~acted, acted)


def column(*values):
    return np.array(values, np.float32)[:, None]


def test_observations_by_hand():
    """Of 1 and 5 the mean is 3 and the standard deviation 2; networks see by them from the next update on."""
    normalizer = Normalizer(PLAIN, OBSERVATIONS, rows=2)
    normalizer.add(step(column(1.0, 5.0)))
    np.testing.assert_array_equal(normalizer.see(tf.constant(column(1.0, 5.0))), column(1.0, 5.0))
    normalizer.advance()
    np.testing.assert_array_equal(normalizer.see(tf.constant(column(1.0, 3.0, 4.0))), column(-1.0, 0.0, 0.5))
    np.testing.assert_array_equal(normalizer.see(tf.constant(column(1e9, -1e9))), column(10.0, -10.0))


def test_rows_that_did_not_act_do_not_count():
    normalizer = Normalizer(PLAIN, Normalization(observations=True, rewards=True, epsilon=1e-12), rows=3)
    normalizer.add(step(column(1.0, 1e6, 5.0), [1.0, 1e6, 3.0], acted=[True, False, True]))
    normalizer.advance()
    np.testing.assert_array_equal(normalizer.see(tf.constant(column(3.0, 5.0))), column(0.0, 1.0))
    np.testing.assert_array_equal(normalizer._rewards(tf.constant([2.0])), [2.0])  # of returns 1 and 3


def test_a_mean_far_from_0_loses_no_digits():
    normalizer = Normalizer(EnvironmentSpec("far", Array((1,), "float64"), Discrete(2)), OBSERVATIONS, rows=2)
    normalizer.add(step(np.array([[1e6 - 1e-4], [1e6 + 1e-4]])))
    normalizer.advance()
    np.testing.assert_allclose(normalizer.see(tf.constant([[1e6 + 1e-4]], tf.float64)), [[1.0]], rtol=1e-4)


def test_rewards_by_hand():
    """With a discount of 0.5, rewards 4, 2, 2 make returns 4, 4, 4 and, after an end, 2 makes 2: deviation sqrt(0.75)."""
    normalizer = Normalizer(PLAIN, REWARDS, rows=1, request=Request(discount=0.5))
    for reward, ended in ((4.0, False), (2.0, False), (2.0, True), (2.0, False)):
        normalizer.add(step(column(0.0), reward, ended))
    expected = np.array([1.0, -3.0], np.float32) / np.float32(np.sqrt(0.75))
    np.testing.assert_allclose(normalizer._rewards(tf.constant([1.0, -3.0])), expected, rtol=1e-6)
    np.testing.assert_array_equal(normalizer._rewards(tf.constant([1e9, -1e9])), [10.0, -10.0])


def test_new_episodes_begin_with_a_return_of_0():
    normalizer = Normalizer(PLAIN, REWARDS, rows=1, request=Request())
    normalizer.add(step(column(0.0), 8.0))
    normalizer.begin()
    normalizer.add(step(column(0.0), 4.0))  # returns 8 and 4, not 8 and 12
    np.testing.assert_allclose(normalizer._rewards._statistics.mean, 6.0)


def test_sums_of_n_rewards_are_clipped_at_n_times_the_range():
    normalizer = Normalizer(PLAIN, REWARDS, rows=1, request=Request(num_steps=3))
    np.testing.assert_array_equal(normalizer._rewards(tf.constant([1e9])), [30.0])


@pytest.mark.parametrize("execution", ["eager", "graph", "xla"])
@pytest.mark.quick("eager")
def test_turns_that_are_handed_over_together_give_the_same_bits(execution):
    """A host program hands over as many as have come since the last update, or the last checkpoint."""
    from agentlab.tensors.execution import compiled

    generator = np.random.default_rng(0)
    settings = Normalization(observations=True, rewards=True)
    observations, rewards = generator.normal(size=(12, 3)).astype(np.float32), generator.normal(size=12).astype(np.float32)
    ended, acted = generator.random(12) < 0.3, generator.random(12) < 0.8
    spec = EnvironmentSpec("three", Array((3,)), Discrete(2))
    states = []
    for cuts in ((0, 12), (0, 2, 4, 6, 8, 10, 12), (0, 6, 8, 12)):
        normalizer = Normalizer(spec, settings, rows=2, request=Request(discount=0.9))
        add = compiled(normalizer.add, execution)
        for begin, end in itertools.pairwise(cuts):
            part = slice(begin, end)
            add(step(observations[part], rewards[part], ended[part], acted[part]))
        states.append([variable.numpy() for variable in variables_of(normalizer).values()])
    for other in states[1:]:
        for left, right in zip(states[0], other, strict=True):
            np.testing.assert_array_equal(left, right)
    assert int(states[0][0]) == np.count_nonzero(acted)


MIXED = EnvironmentSpec(
    "mixed",
    {"place": Array((2,)), "card": Discrete(3), "camera": Array((4, 4, 1), "uint8", 0, 255), "action_mask": MultiBinary((2,))},
    Discrete(2),
)


def mixed(rows):
    generator = np.random.default_rng(rows)
    return {
        "place": generator.normal(3.0, 2.0, (rows, 2)).astype(np.float32),
        "card": generator.integers(0, 3, rows),
        "camera": generator.integers(0, 256, (rows, 4, 4, 1)).astype(np.uint8),
        "action_mask": np.ones((rows, 2), np.int8),
    }


@pytest.mark.parametrize("images", [False, True])
def test_each_array_of_a_mapping_has_its_own_and_choices_are_left(images):
    settings = Normalization(observations=True, images=images)
    normalizer = Normalizer(MIXED, settings, rows=4)
    observation = mixed(4)
    normalizer.add(step(observation))
    normalizer.advance()
    seen = normalizer.see(MIXED.see({name: tf.constant(leaf) for name, leaf in observation.items()}))
    assert sorted(seen) == ["camera", "card", "place"]
    place = observation["place"].astype(np.float64)
    np.testing.assert_allclose(seen["place"], (place - place.mean(0)) / place.std(0), rtol=1e-5)
    np.testing.assert_array_equal(seen["card"], observation["card"])
    if images:
        assert abs(float(tf.reduce_mean(seen["camera"]))) < 1e-5
    else:
        np.testing.assert_array_equal(seen["camera"], observation["camera"])
    seen = normalized_spec(MIXED, settings).seen
    assert seen["place"] == Array((2,), minimum=-10.0, maximum=10.0)
    assert seen["card"] == Discrete(3)
    assert seen["camera"].dtype == ("float32" if images else "uint8")
    assert normalized_spec(MIXED, settings).has_mask


def test_a_model_sees_normalised_observations_and_shares_its_weights():
    normalizer = Normalizer(PLAIN, OBSERVATIONS, rows=2)
    inner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    inner.set_weights([np.array([[1.0, 2.0]]), np.zeros(2)])
    (model,) = normalizer.models({"policy": [inner]}, {"policy": Network(2)})["policy"]
    normalizer.add(step(column(1.0, 5.0)))
    normalizer.advance()
    np.testing.assert_array_equal(infer(model, tf.constant(column(5.0)))[0], [[1.0, 2.0]])
    np.testing.assert_array_equal(model(column(5.0)), [[1.0, 2.0]])
    assert model.variables == inner.variables
    assert model.trainable_variables == inner.trainable_variables


class Joined(keras.Model):
    """Puts out what it sees."""

    def call(self, inputs):
        return tf.concat([inputs["observation"], inputs["action"]], axis=-1)


def test_a_network_that_sees_the_action_too_sees_that_as_it_is():
    normalizer = Normalizer(PLAIN, OBSERVATIONS, rows=2)
    normalizer.add(step(column(1.0, 5.0)))
    normalizer.advance()
    inner = Joined()
    network = Network(1, inputs=("observation", "action"))
    (model,) = normalizer.models({"critic": [inner]}, {"critic": network})["critic"]
    output = model({"observation": tf.constant(column(5.0)), "action": tf.constant(column(7.0))})
    np.testing.assert_array_equal(output, [[1.0, 7.0]])


def test_batches_have_normalised_rewards_and_memories_raw_ones():
    normalizer = Normalizer(PLAIN, REWARDS, rows=2)
    memory = Rollout()
    memory.build(make_layout(PLAIN, 2, length=1, order="all"))
    rows = step(column(1.0, 5.0), [1.0, 5.0])
    normalizer.add(rows)
    memory.add(rows, tf.range(2, dtype=tf.int64))
    seed = tf.constant([0, 0], tf.int64)
    np.testing.assert_array_equal(memory.sample(seed).reward, [[1.0], [5.0]])
    np.testing.assert_array_equal(normalizer.experience(memory).sample(seed).reward, [[0.5], [2.5]])


def test_where_nothing_is_normalised_there_is_nothing():
    normalizer = Normalizer(PLAIN, Normalization())
    memory, model = Rollout(), keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    assert normalizer.experience(memory) is memory
    assert normalizer.models({"policy": [model]}, {"policy": Network(2)}) == {"policy": [model]}
    assert variables_of(normalizer) == {}
    assert normalized_spec(MIXED, Normalization()) is MIXED


def test_what_a_checkpoint_may_hold():
    normalizer = Normalizer(PLAIN, Normalization(observations=True, rewards=True), rows=2)
    ranges = ranges_of(normalizer)
    assert ranges["observations/statistics/count"] == Range(0, 2**53)
    assert ranges["observations/statistics/squares"] == Range(0.0)
    assert ranges["observations/mean"] == Range()
    assert ranges["observations/deviation"].minimum == np.float32(1e-4)
    assert ranges["rewards/returns"] == Range()
    assert ranges.keys() == variables_of(normalizer).keys()


@pytest.mark.parametrize("observation", [Discrete(5), Array((4, 4), "uint8", 0, 255), {"a": Discrete(5), "b": Discrete(2)}])
def test_an_environment_without_numbers_has_nothing_to_normalise(observation):
    spec = EnvironmentSpec("odd", observation, Discrete(2))
    normalizer, model = Normalizer(spec, OBSERVATIONS), keras.Sequential([keras.layers.Dense(2)])
    assert normalizer.models({"policy": [model]}, {"policy": Network(2)}) == {"policy": [model]}
    assert variables_of(normalizer) == {}
    assert normalized_spec(spec, OBSERVATIONS).observation == observation


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"epsilon": 1e80}, {"observation_clip": 0.0}, {"reward_clip": -1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Normalization(**wrong)
