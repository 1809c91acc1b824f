"""CartPole on the device against Gymnasium's CartPole-v1, the judge: every step, the limits, and where episodes start."""

import itertools

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.loop.autoreset import Autoreset, Episodes
from agentlab_envs.control import cartpole
from agentlab_envs.control.cartpole import CartPole
from samples import KOLMOGOROV, distance, limit

KEY = seeds.stream(0, "test")
SEED = seeds.at(KEY, 0)


def balance(state):
    """Keeps the pole up for 500 steps: pushes to where the pole falls."""
    return int(state @ np.array([0.01, 0.1, 1.0, 0.5]) > 0)


@pytest.fixture(scope="module")
def recorded():
    """12,000 steps of Gymnasium: random pushes, and four episodes that last until they are truncated."""
    environment = gymnasium.make("CartPole-v1")
    generator = np.random.default_rng(0)
    columns = {
        name: [] for name in ("episode", "state", "action", "following", "observation", "reward", "terminated", "truncated")
    }
    episode, ended = 0, True
    while len(columns["state"]) < 12_000:
        if ended:
            environment.reset(seed=episode)
            episode += 1
        state = np.array(environment.unwrapped.state)
        action = balance(state) if episode <= 4 else int(generator.integers(2))
        observation, reward, terminated, truncated, _ = environment.step(action)
        ended = terminated or truncated
        row = (episode, state, action, environment.unwrapped.state, observation, reward, terminated, truncated)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(np.array(value))
    return {name: np.stack(values) for name, values in columns.items()}


def test_the_record_shows_every_kind_of_end(recorded):
    assert recorded["truncated"].sum() == 4
    assert recorded["terminated"].sum() > 400
    angles, positions = np.abs(recorded["following"][recorded["terminated"]][:, [2, 0]]).T
    assert (angles > cartpole.ANGLE_LIMIT).any()
    assert positions.max() < cartpole.POSITION_LIMIT  # of this end, see below


def test_every_step_is_gymnasiums(compiled, recorded):
    transition = compiled(CartPole().transition)
    state, reward, terminated, target = transition(tf.constant(recorded["state"]), tf.constant(recorded["action"]), SEED)
    assert state.dtype == tf.float64
    assert reward.dtype == tf.float32
    assert target == ()
    # TensorFlow's and NumPy's float64 sine and cosine may differ in the last bit, and so may what follows from them.
    np.testing.assert_allclose(state, recorded["following"], rtol=2**-52, atol=2**-52)
    np.testing.assert_array_equal(CartPole().observe(state), recorded["observation"])
    np.testing.assert_array_equal(reward, recorded["reward"])
    np.testing.assert_array_equal(terminated, recorded["terminated"])


def steps_of(recorded, episode):
    for index, row in enumerate(np.flatnonzero(recorded["episode"] == episode), 1):
        yield tf.constant(index, tf.int64), {name: column[row : row + 1] for name, column in recorded.items()}


def assert_flags(timestep, theirs):
    assert bool(timestep.terminated[0]) == bool(theirs["terminated"][0])
    assert bool(timestep.truncated[0]) == bool(theirs["truncated"][0])


@pytest.mark.parametrize("execution", ["graph", "xla"])
@pytest.mark.slow
def test_episodes_stay_together_by_themselves(compiled, recorded):
    """From Gymnasium's first state on by the same pushes, at most 5 s.

    The pushes answer Gymnasium's state, not ours, and an upright pole is unstable: a rounding error of 1e-16 grows e-fold each
    quarter of a second. In 5 s it stays below the last bits of an observation; in 10 s it would be seen.
    """
    step = compiled(Autoreset(CartPole(), 1, 0).step)
    for episode in (1, *range(5, 20)):
        for index, theirs in itertools.islice(steps_of(recorded, episode), 250):
            if index == 1:
                episodes = Episodes(tf.constant(theirs["state"]), tf.zeros(1, tf.int64))
            episodes, timestep = step(episodes, tf.constant(theirs["action"]), index)
            np.testing.assert_allclose(timestep.final_observation, theirs["observation"], rtol=1e-6, atol=1e-8)
            assert_flags(timestep, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_episodes_end_where_gymnasiums_do(compiled, recorded):
    """Whole episodes, Gymnasium's state put in at each step and the steps counted by ourselves."""
    step = compiled(Autoreset(CartPole(), 1, 0).step)
    elapsed = tf.zeros(1, tf.int64)
    for episode in (1, 2, *range(5, 12)):
        for index, theirs in steps_of(recorded, episode):
            assert int(elapsed[0]) == index - 1
            episodes, timestep = step(Episodes(tf.constant(theirs["state"]), elapsed), tf.constant(theirs["action"]), index)
            elapsed = episodes.elapsed
            assert_flags(timestep, theirs)


def next_to(limit, steps):
    return np.nextafter(limit, np.inf if steps > 0 else -np.inf) if steps else limit


@pytest.mark.pairwise
@pytest.mark.parametrize("element", [0, 2], ids=["position", "angle"])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("steps", "ends"), [(-1, False), (0, False), (1, True)], ids=["inside", "on it", "outside"])
def test_the_limits_themselves_are_inside(compiled, element, side, steps, ends):
    limit = gymnasium.make("CartPole-v1").unwrapped
    state = np.zeros((1, 4))  # without velocity, the next position and angle are these
    state[0, element] = side * next_to([limit.x_threshold, None, limit.theta_threshold_radians][element], steps)
    limit.reset(seed=0)
    limit.state = state[0].copy()
    assert limit.step(0)[2] == ends
    assert bool(compiled(CartPole().transition)(tf.constant(state), tf.constant([0]), SEED)[2][0]) == ends


def test_the_spec_is_gymnasiums():
    spec, theirs = CartPole().spec, gymnasium.make("CartPole-v1")
    assert spec.observation.shape == theirs.observation_space.shape
    assert spec.observation.dtype == str(theirs.observation_space.dtype)
    assert spec.action.num_values == theirs.action_space.n
    assert spec.max_episode_steps == theirs.spec.max_episode_steps == 500


def test_episodes_start_uniformly_and_independently():
    """Kolmogorov-Smirnov per number, and correlations between rows and numbers; each false once in 10**5."""
    states = CartPole().initial(SEED, 50_000).numpy()
    assert states.dtype == np.float64
    assert 0.04999 < np.abs(states).max() <= 0.05
    for column in states.T:
        assert distance(column, np.linspace(-0.05, 0.05, 1_000_001)) < KOLMOGOROV / np.sqrt(len(column))
    limit = 4.5 / np.sqrt(len(states))
    assert np.abs(np.corrcoef(states.T) - np.eye(4)).max() < limit
    assert np.abs(np.corrcoef(states[1:].T, states[:-1].T)[:4, 4:]).max() < limit
    assert len(np.unique(states)) == states.size


def test_gymnasium_starts_its_episodes_alike():
    theirs = gymnasium.make("CartPole-v1").unwrapped
    starts = np.array([theirs.reset(seed=seed)[0] for seed in range(2_000)])
    ours = CartPole().observe(CartPole().initial(SEED, 2_000)).numpy()
    for column, other in zip(ours.T, starts.T, strict=True):
        assert distance(column, other) < limit(column, other)


def test_starts_are_the_same_bits_by_every_execution(compiled):
    np.testing.assert_array_equal(compiled(lambda: CartPole().initial(SEED, 1_000))(), CartPole().initial(SEED, 1_000))


def test_every_reset_draws_anew():
    autoreset = Autoreset(CartPole(max_episode_steps=1), 8, 0)
    episodes, first = autoreset.reset()
    starts = [first.observation.numpy()]
    for index in range(1, 40):
        episodes, timestep = autoreset.step(episodes, tf.zeros(8, tf.int64), tf.constant(index, tf.int64))
        assert timestep.truncated.numpy().all()
        starts.append(timestep.observation.numpy())
    assert len(np.unique(np.array(starts))) == 40 * 8 * 4
