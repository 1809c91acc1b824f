"""Distributions: probabilities add up to 1, entropies are those of the probabilities, and draws come as often as they say."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.distribution import (
    ActionValues,
    Bernoulli,
    Categorical,
    ClippedNormal,
    Deterministic,
    Joint,
    MultiCategorical,
    Normal,
    SquashedNormal,
    clipped_or_normal,
    distribution_of,
    squashed_or_normal,
)
from agentlab.distribution.clipped_normal import log_below
from agentlab.spec import Array, Discrete, MultiBinary, MultiDiscrete

SEED = seeds.at(7, 0)
ROWS = 60_000
LOW, HIGH = np.float32([-1.0, 2.0]), np.float32([1.0, 5.0])


def outputs(*shape, scale=1.0):
    return (np.random.default_rng(3).normal(size=shape) * scale).astype(np.float32)


# ---- choices: all actions can be written down --------------------------------------------------------------------------


def every(*sizes):
    return np.array(list(itertools.product(*map(range, sizes))))


CHOICES = {  # a distribution of one row, and all its actions [M, *A]
    "one choice": (Categorical(num_values=4), outputs(1, 4), every(4)[:, 0]),
    "values": (ActionValues(num_values=3), outputs(1, 3), every(3)[:, 0]),
    "several alike": (Categorical(num_values=3), outputs(1, 2, 3), every(3, 3)),
    "several": (MultiCategorical(sizes=(2, 3, 4)), outputs(1, 9), every(2, 3, 4)),
    "bits": (Bernoulli(shape=(3,)), outputs(1, 3), every(2, 2, 2)),
    "tempered": (Categorical(num_values=4).tempered(tf.constant(0.5)), outputs(1, 4), every(4)[:, 0]),
    "tempered bits": (Bernoulli(shape=(2,)).tempered(tf.constant(2.0)), outputs(1, 2), every(2, 2)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_probabilities_of_all_choices(compiled, name):
    distribution, output, actions = CHOICES[name]

    def of_all(output, actions):
        bound = distribution.of(tf.repeat(output, actions.shape[0], axis=0))
        return bound.log_probability(actions), bound.entropy(), bound.mode()

    log_probability, entropy, mode = compiled(of_all)(tf.constant(output), tf.constant(actions))
    probability = np.exp(log_probability.numpy().astype(np.float64))
    assert probability.sum() == pytest.approx(1.0, abs=1e-5)
    assert float(entropy[0]) == pytest.approx(-(probability * np.log(probability)).sum(), rel=1e-4)
    np.testing.assert_array_equal(mode[0], actions[np.argmax(probability)])


@pytest.mark.parametrize("name", CHOICES)
def test_draws_come_as_often_as_their_probability(name):
    distribution, output, actions = CHOICES[name]
    bound = distribution.of(tf.constant(np.repeat(output, ROWS, axis=0)))
    drawn = bound.sample(SEED).numpy().reshape(ROWS, -1)
    whole = distribution.of(tf.constant(np.repeat(output, len(actions), axis=0)))
    expected = np.exp(whole.log_probability(tf.constant(actions)).numpy())
    for action, probability in zip(actions.reshape(len(actions), -1), expected, strict=True):
        share = np.mean((drawn == action).all(axis=1))
        assert share == pytest.approx(probability, abs=5.0 * math.sqrt(0.25 / ROWS))


def test_logits_by_hand(compiled):
    def numbers(output):
        bound = Categorical(num_values=3).of(output)
        return bound.log_probability(tf.constant([2])), bound.entropy()

    log_probability, entropy = compiled(numbers)(tf.math.log(tf.constant([[1.0, 2.0, 5.0]])))
    shares = np.array([1, 2, 5]) / 8
    assert float(log_probability[0]) == pytest.approx(math.log(5 / 8), rel=1e-5)
    assert float(entropy[0]) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)


def test_a_mask_leaves_the_allowed_actions_in_proportion():
    mask = tf.constant([[True, False, True]])
    bound = Categorical(num_values=3).of(tf.math.log(tf.constant([[1.0, 5.0, 2.0]]))).masked(mask)
    probability = [math.exp(float(bound.log_probability(tf.constant([action]))[0])) for action in range(3)]
    np.testing.assert_allclose(probability, [1 / 3, 0, 2 / 3], atol=1e-6)
    assert int(bound.mode()[0]) == 2
    assert float(bound.entropy()[0]) == pytest.approx(-(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3), rel=1e-4)
    many = Categorical(num_values=3).of(tf.zeros([1_000, 3])).masked(tf.repeat(mask, 1_000, axis=0))
    assert set(many.sample(SEED).numpy().tolist()) == {0, 2}
    assert set(many.explore(tf.constant([1_000]), SEED).numpy().tolist()) == {0, 2}


# ---- numbers: by integration -----------------------------------------------------------------------------------------------


def integral(distribution, output, low, high, points=2_001):
    """Returns the sum of the density of one number over an interval, and the entropy that goes with it."""
    ends = np.linspace(low, high, points + 1)
    middle, width = (ends[1:] + ends[:-1]) / 2, (high - low) / points
    bound = distribution.of(tf.constant(np.repeat(output, points, axis=0)))
    log_density = bound.log_probability(tf.constant(middle[:, None].astype(np.float32))).numpy().astype(np.float64)
    density = np.exp(log_density)
    return density.sum() * width, -(density * np.where(density > 0, log_density, 0)).sum() * width


@pytest.mark.parametrize("mean", [0.0, 1.3])
@pytest.mark.parametrize("log_std", [-1.0, 0.3])
def test_a_normal_density_by_integration(mean, log_std):
    output = np.float32([[mean, log_std]])
    total, entropy = integral(Normal(shape=(1,)), output, mean - 12, mean + 12)
    assert total == pytest.approx(1.0, abs=1e-4)
    assert float(Normal(shape=(1,)).of(tf.constant(output)).entropy()[0]) == pytest.approx(entropy, abs=1e-3)
    assert entropy == pytest.approx(log_std + 0.5 * math.log(2 * math.pi * math.e), abs=1e-3)


@pytest.mark.parametrize("mean", [0.0, 0.8, -2.0])
@pytest.mark.parametrize("log_std", [-1.5, 0.0])
def test_a_squashed_density_by_integration(mean, log_std):
    distribution = SquashedNormal(shape=(1,), low=np.float32([2.0]), high=np.float32([5.0]))
    output = np.float32([[mean, log_std]])
    total, entropy = integral(distribution, output, 2.0 + 1e-5, 5.0 - 1e-5, points=60_000)
    assert total == pytest.approx(1.0, abs=5e-3)
    assert float(distribution.of(tf.constant(output)).entropy()[0]) == pytest.approx(entropy, abs=0.02)


@pytest.mark.slow
def test_squashed_draws_lie_within_bounds_of_their_own_and_bring_their_density(compiled):
    distribution = SquashedNormal(shape=(2,), low=LOW, high=HIGH)

    def draw(output):
        bound = distribution.of(output)
        action, log_probability = bound.sample_with_log_probability(SEED)
        return action, log_probability, bound.log_probability(action), bound.mode()

    action, densities, computed, mode = compiled(draw)(tf.constant(outputs(500, 4, scale=0.5)))
    assert (action >= LOW).numpy().all()
    assert (action <= HIGH).numpy().all()
    np.testing.assert_allclose(densities, computed, rtol=1e-3, atol=2e-3)
    assert ((mode > LOW) & (mode < HIGH)).numpy().all()


def test_the_slope_of_the_squashing_by_hand():
    """Density of a = 3.5 + 1.5 tanh(x) at x = 0.5, of a standard normal x: that of x over 1.5 (1 - tanh(x)^2)."""
    distribution = SquashedNormal(shape=(1,), low=np.float32([2.0]), high=np.float32([5.0]))
    action = 3.5 + 1.5 * math.tanh(0.5)
    density = math.exp(-0.5 * 0.5**2) / math.sqrt(2 * math.pi) / (1.5 * (1 - math.tanh(0.5) ** 2))
    bound = distribution.of(tf.constant([[0.0, 0.0]]))
    assert float(bound.log_probability(tf.constant([[action]]))[0]) == pytest.approx(math.log(density), abs=1e-4)


def test_a_normal_draw_has_its_mean_and_deviation():
    bound = Normal(shape=(1,)).of(tf.repeat(tf.constant([[0.7, math.log(0.5)]]), ROWS, axis=0))
    drawn = bound.sample(SEED).numpy()
    assert drawn.mean() == pytest.approx(0.7, abs=0.02)
    assert drawn.std() == pytest.approx(0.5, abs=0.02)
    cold = bound.tempered(tf.constant(0.0))
    np.testing.assert_allclose(cold.sample(SEED), bound.mode(), atol=1e-6)


# ---- clipped to bounds: a density between them, and a probability at each ------------------------------------------------

BOUNDS = {"both": (2.0, 5.0), "low": (0.0, np.inf), "high": (-np.inf, 1.0)}  # where there are two, 3.5 + 1.5 x


def clipped(bounds, **attributes):
    low, high = (np.float32([bound]) for bound in BOUNDS[bounds])
    return ClippedNormal(shape=(1,), low=low, high=high, **attributes)


def clipped_by_scipy(bounds, mean, log_std):
    """Returns the normal distribution in units of the action, and the probabilities of the bounds."""
    low, high = BOUNDS[bounds]
    middle, half = (3.5, 1.5) if bounds == "both" else (0.0, 1.0)
    normal = scipy.stats.norm(middle + half * mean, half * math.exp(log_std))
    return normal, normal.cdf(low), normal.sf(high)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("mean", [0.0, 0.8, -3.0])
@pytest.mark.parametrize("log_std", [-1.0, 0.3])
def test_a_clipped_normal_by_integration(bounds, mean, log_std):
    normal, at_low, at_high = clipped_by_scipy(bounds, mean, log_std)
    low, high = np.clip(BOUNDS[bounds], normal.mean() - 9 * normal.std(), normal.mean() + 9 * normal.std())
    output = np.float32([[mean, log_std]])
    total, entropy = integral(clipped(bounds), output, low, max(high, low), points=20_001) if low < high else (0.0, 0.0)
    assert total + at_low + at_high == pytest.approx(1.0, abs=1e-3)
    entropy += sum(-share * math.log(share) for share in (at_low, at_high) if share > 0)
    assert float(clipped(bounds).of(tf.constant(output)).entropy()[0]) == pytest.approx(entropy, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_clipped_normal_by_scipy(compiled, bounds):
    mean, log_std = np.float32([-4.0, -0.5, 0.0, 0.5, 4.0]), np.float32([0.5, -1.0, 0.0, 0.3, -0.5])
    low, high = np.clip(BOUNDS[bounds], -9.0, 9.0)
    bound = clipped(bounds)
    for action in (low, 0.7 * low + 0.3 * high, high):
        outputs = tf.constant(np.stack([mean, log_std], axis=1))
        nats = compiled(lambda outputs, taken: bound.of(outputs).log_probability(taken))(outputs, tf.fill([5, 1], action))
        normal, _, _ = clipped_by_scipy(bounds, mean.astype(float), 0.0)
        normal = scipy.stats.norm(normal.mean(), normal.std() * np.exp(log_std.astype(float)))
        at_low, at_high = (bool(action == end) for end in BOUNDS[bounds])
        expected = normal.logcdf(action) if at_low else normal.logsf(action) if at_high else normal.logpdf(action)
        np.testing.assert_allclose(nats, expected, rtol=1e-4, atol=1e-4)


def test_clipped_draws_are_at_their_bounds_as_often_as_these_say(compiled):
    distribution = clipped("both")
    outputs = tf.repeat(tf.constant([[0.4, 0.1]]), ROWS, axis=0)
    drawn = compiled(lambda outputs: distribution.of(outputs).sample(SEED))(outputs).numpy()
    _, at_low, at_high = clipped_by_scipy("both", 0.4, 0.1)
    assert np.mean(drawn == 2.0) == pytest.approx(at_low, abs=0.01)
    assert np.mean(drawn == 5.0) == pytest.approx(at_high, abs=0.01)
    assert drawn.min() == 2.0
    assert drawn.max() == 5.0


def test_an_element_may_have_bounds_of_its_own_or_none():
    low, high = np.float32([-1.0, 0.0, -np.inf]), np.float32([3.0, np.inf, np.inf])
    distribution = ClippedNormal(shape=(3,), low=low, high=high)
    bound = distribution.of(tf.constant([[0.25, -2.0, 7.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(bound.mode(), [[1.5, 0.0, 7.0]])
    of_each = [scipy.stats.norm(1.5, 2.0).logpdf(1.0), scipy.stats.norm(-2.0, 1.0).logcdf(0.0), scipy.stats.norm.logpdf(1.0)]
    assert float(bound.log_probability(tf.constant([[1.0, 0.0, 8.0]]))[0]) == pytest.approx(sum(of_each), abs=1e-4)
    assert np.isfinite(bound.entropy()).all()


def test_only_two_bounds_can_be_explored_between():
    drawn = clipped("both").explore(tf.constant([2_000, 1]), SEED).numpy()
    assert drawn.min() >= 2.0
    assert drawn.max() <= 5.0
    assert drawn.mean() == pytest.approx(3.5, abs=0.1)
    assert clipped("both").bounds == (np.float32([2.0]), np.float32([5.0]))
    for bounds in ("low", "high"):
        with pytest.raises(errors.UsageError, match="ClippedNormal is not one of numbers within bounds"):
            clipped(bounds).explore(tf.constant([1, 1]), SEED)


@pytest.mark.slow
def test_the_gradient_of_a_clipped_normal_is_finite_however_far_out(compiled):
    distribution = clipped("both")

    def gradient(outputs, action):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            bound = distribution.of(outputs)
            nats = bound.log_probability(action) + bound.entropy()
        return tape.gradient(nats, outputs)

    outputs = tf.constant([[mean, log_std] for mean in (-1e4, -30.0, 0.0, 30.0, 1e4) for log_std in (-5.0, 0.0, 2.0)])
    for action in (2.0, 3.0, 5.0):
        assert np.isfinite(compiled(gradient)(outputs, tf.fill([len(outputs), 1], action))).all()


def test_the_logarithm_of_a_probability_below_a_number(compiled):
    numbers = np.float32([-1e4, -100, -20, -8.5, -8.0, -7.9, -3, 0, 2, 9, 1e4])
    np.testing.assert_allclose(compiled(log_below)(tf.constant(numbers)), scipy.special.log_ndtr(numbers), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("deviation", [0.5, 2.0])
def test_an_output_of_zero_stands_for_the_unit_deviation(deviation):
    outputs = tf.zeros([1, 2])
    for kind in (Normal, SquashedNormal, ClippedNormal):
        limits = {} if kind is Normal else {"low": np.float32([-1.0]), "high": np.float32([1.0])}
        wide = kind(shape=(1,), unit_deviation=deviation, **limits).of(outputs)
        same = kind(shape=(1,), **limits).of(tf.constant([[0.0, math.log(deviation)]]))
        np.testing.assert_allclose(wide.log_probability([[0.3]]), same.log_probability([[0.3]]), rtol=1e-6)
        np.testing.assert_allclose(wide.entropy(), same.entropy(), rtol=1e-6)


# ---- against SciPy -------------------------------------------------------------------------------------------------------


def test_choices_by_scipy(compiled):
    logits = outputs(6, 5, scale=2.0)
    probability = scipy.special.softmax(logits.astype(np.float64), axis=1)
    taken = np.int64([0, 1, 2, 3, 4, 0])
    bound = Categorical(num_values=5)
    nats, entropy = compiled(lambda logits: (bound.of(logits).log_probability(taken), bound.of(logits).entropy()))(logits)
    np.testing.assert_allclose(nats, np.log(probability[np.arange(6), taken]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(entropy, scipy.stats.entropy(probability, axis=1), rtol=1e-5)


def test_bits_by_scipy(compiled):
    logits, taken = outputs(6, 3, scale=2.0), (outputs(6, 3) > 0).astype(np.int64)
    by_scipy = scipy.stats.bernoulli(scipy.special.expit(logits.astype(np.float64)))
    bound = Bernoulli(shape=(3,))
    nats, entropy = compiled(lambda logits: (bound.of(logits).log_probability(taken), bound.of(logits).entropy()))(logits)
    np.testing.assert_allclose(nats, by_scipy.logpmf(taken).sum(1), rtol=1e-5)
    np.testing.assert_allclose(entropy, by_scipy.entropy().sum(1), rtol=1e-5)


def test_numbers_by_scipy(compiled):
    output, taken = outputs(6, 4), outputs(6, 2, scale=3.0)[::-1]
    by_scipy = scipy.stats.norm(output[:, :2].astype(np.float64), np.exp(output[:, 2:].astype(np.float64)))
    bound = Normal(shape=(2,))
    nats, entropy = compiled(lambda output: (bound.of(output).log_probability(taken), bound.of(output).entropy()))(output)
    np.testing.assert_allclose(nats, by_scipy.logpdf(taken).sum(1), rtol=1e-4)
    np.testing.assert_allclose(entropy, by_scipy.entropy().sum(1), rtol=1e-5)


def test_squashed_numbers_by_scipy(compiled):
    output, raw = outputs(6, 4), outputs(6, 2)[::-1].astype(np.float64)
    by_scipy = scipy.stats.norm(output[:, :2].astype(np.float64), np.exp(output[:, 2:].astype(np.float64)))
    half = (HIGH - LOW) / 2.0
    taken = np.float32((HIGH + LOW) / 2.0 + half * np.tanh(raw))
    expected = by_scipy.logpdf(raw) - np.log(half * (1.0 - np.tanh(raw) ** 2))
    bound = SquashedNormal(shape=(2,), low=LOW, high=HIGH)
    nats = compiled(lambda output: bound.of(output).log_probability(taken))(output)
    np.testing.assert_allclose(nats, expected.sum(1), rtol=1e-3, atol=1e-3)


# ---- mappings, and which distribution is usual ---------------------------------------------------------------------------


def test_entries_of_a_mapping_are_independent(compiled):
    space = {"arm": Array((2,)), "gear": Discrete(3)}
    joint = distribution_of(space)
    output = outputs(5, joint.num_outputs)
    action = {"arm": outputs(5, 2), "gear": np.array([0, 1, 2, 0, 1])}

    def numbers(output, action):
        bound = joint.of(output)
        return bound.log_probability(action), bound.entropy()

    log_probability, entropy = compiled(numbers)(tf.constant(output), tf.nest.map_structure(tf.constant, action))
    arm, gear = Normal(shape=(2,)).of(tf.constant(output[:, :4])), Categorical(num_values=3).of(tf.constant(output[:, 4:]))
    alone = arm.log_probability(tf.constant(action["arm"])) + gear.log_probability(tf.constant(action["gear"]))
    np.testing.assert_allclose(log_probability, alone, rtol=1e-5)
    np.testing.assert_allclose(entropy, arm.entropy() + gear.entropy(), rtol=1e-5)
    assert {name: tuple(leaf.shape) for name, leaf in joint.of(tf.constant(output)).sample(SEED).items()} == {
        "arm": (5, 2),
        "gear": (5,),
    }


@pytest.mark.parametrize(
    ("space", "kind", "num_outputs"),
    [
        (Discrete(4), Categorical, 4),
        (Discrete(4, shape=(2,)), Categorical, 4),
        (MultiDiscrete((2, 5)), MultiCategorical, 7),
        (MultiBinary((3,)), Bernoulli, 3),
        (Array((2,)), Normal, 4),
        ({"a": Discrete(2), "b": Array((3,))}, Joint, 8),
    ],
)
def test_what_is_usual_for_a_space(space, kind, num_outputs):
    distribution = distribution_of(space)
    assert (type(distribution), distribution.num_outputs) == (kind, num_outputs)


def test_a_space_with_bounds_is_squashed_into_them():
    assert isinstance(squashed_or_normal(Array((1,), minimum=-1.0, maximum=[2.0])), SquashedNormal)
    assert isinstance(squashed_or_normal(Array((1,), minimum=0.0)), Normal)


def test_a_space_with_any_bound_is_clipped_to_it():
    assert isinstance(clipped_or_normal(Array((2,), minimum=[0.0, -np.inf])), ClippedNormal)
    assert isinstance(clipped_or_normal(Array((2,))), Normal)


def test_places_of_the_outputs_that_say_how_wide_a_distribution_is():
    space = {"arm": Array((2,)), "gear": Discrete(3), "hand": Array((2, 1))}
    assert distribution_of(space["arm"]).deviation_outputs == (2, 3)
    assert distribution_of(space["gear"]).deviation_outputs == ()
    assert distribution_of(space).deviation_outputs == (2, 3, 8, 10)  # 4 of the arm, 3 of the gear, 2 for each finger


def test_what_a_distribution_cannot_do_is_told():
    bound = Deterministic(shape=(2,)).of(tf.zeros([1, 2]))
    for call in (bound.entropy, lambda: bound.log_probability(tf.zeros([1, 2])), lambda: bound.masked(tf.ones([1, 2]))):
        with pytest.raises(errors.UsageError, match="The distribution Deterministic "):
            call()
    with pytest.raises(errors.UsageError, match="Normal has no uniformly random action"):
        Normal(shape=(1,)).explore(tf.constant([1]), SEED)
