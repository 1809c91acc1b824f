"""Control problems on the device against Gymnasium's own, the judge: every step, whole episodes, ends, spaces and starts."""

import functools

import attrs
import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from agentlab import seeds
from agentlab.loop.autoreset import Autoreset, Episodes
from agentlab.spec import Array
from agentlab_envs.control.acrobot import Acrobot
from agentlab_envs.control.mountain_car import MountainCar, MountainCarContinuous
from agentlab_envs.control.pendulum import Pendulum
from samples import distance, limit

KEY = seeds.stream(0, "test")
SEED = seeds.at(KEY, 0)
STEPS = 10_000


def with_the_motion(velocity):
    """Pushes the way it moves, which adds energy: the action of three that does."""
    return 2 if velocity >= 0 else 0


def beyond_the_limits(generator):
    return generator.uniform(-3.0, 3.0, 1).astype(np.float32)


@attrs.frozen
class Case:
    """A control problem; `skilled` returns an action that reaches the goal, or anything where there is none.

    `rounding` is what TensorFlow's and NumPy's sines and cosines, which may differ in the last bit, come to in one step.
    """

    environment: object
    id: str
    skilled: object
    random: object
    rounding: float
    ends: int  # episodes that reach the goal, at least


CASES = {
    "acrobot": Case(
        Acrobot(),
        "Acrobot-v1",
        lambda state, _: with_the_motion(state[3]),
        lambda generator: int(generator.integers(3)),
        rounding=1e-13,
        ends=10,
    ),
    "mountain-car": Case(
        MountainCar(),
        "MountainCar-v0",
        lambda state, _: with_the_motion(state[1]),
        lambda generator: int(generator.integers(3)),
        rounding=1e-15,
        ends=10,
    ),
    "mountain-car-continuous": Case(
        MountainCarContinuous(),
        "MountainCarContinuous-v0",
        lambda state, generator: np.array([np.copysign(generator.uniform(0.5, 2.0), state[1])], np.float32),
        beyond_the_limits,
        rounding=2.0**-23,  # Gymnasium's state is float64 at first, float32 from the first step on
        ends=5,
    ),
    "pendulum": Case(
        Pendulum(), "Pendulum-v1", lambda _, generator: beyond_the_limits(generator), beyond_the_limits, rounding=1e-15, ends=0
    ),
}


@pytest.fixture(params=list(CASES))
def name(request):
    return request.param


@functools.cache
def recorded(name):
    """10,000 steps of Gymnasium: every other episode by skill, every other one at random."""
    case, generator = CASES[name], np.random.default_rng(0)
    environment = gymnasium.make(case.id)
    names = ("episode", "state", "action", "following", "observation", "reward", "terminated", "truncated")
    columns = {column: [] for column in names}
    episode, ended = 0, True
    while len(columns["state"]) < STEPS:
        if ended:
            environment.reset(seed=episode)
            episode += 1
        state = np.array(environment.unwrapped.state, np.float64)
        action = case.skilled(state, generator) if episode % 2 else case.random(generator)
        observation, reward, terminated, truncated, _ = environment.step(action)
        ended = terminated or truncated
        following = np.array(environment.unwrapped.state, np.float64)
        row = (episode, state, action, following, observation, reward, terminated, truncated)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(np.array(value))
    return {column: np.stack(values) for column, values in columns.items()}


def as_state(name, array):
    """Returns Gymnasium's states in the dtype of ours."""
    return tf.constant(array, CASES[name].environment.initial(SEED, 1).dtype)


def test_the_record_has_every_kind_of_end(name):
    assert recorded(name)["truncated"].sum() >= 3
    assert recorded(name)["terminated"].sum() >= CASES[name].ends


def test_every_step_is_gymnasiums(compiled, name):
    case, steps = CASES[name], recorded(name)
    state, reward, terminated, target = compiled(case.environment.transition)(
        as_state(name, steps["state"]), tf.constant(steps["action"]), SEED
    )
    assert reward.dtype == tf.float32
    assert target == ()
    np.testing.assert_allclose(state, steps["following"], rtol=case.rounding, atol=case.rounding)
    observed = case.environment.observe(as_state(name, steps["following"]))
    np.testing.assert_allclose(observed, steps["observation"], rtol=2**-23, atol=2**-27)
    np.testing.assert_allclose(reward, steps["reward"], rtol=2**-23, atol=0)
    np.testing.assert_array_equal(terminated, steps["terminated"])


LENGTHS = {"acrobot": 50, "mountain-car": 200, "mountain-car-continuous": 999, "pendulum": 100}  # steps before rounding is seen


@pytest.mark.parametrize("execution", ["graph", "xla"])
@pytest.mark.slow
def test_episodes_stay_together_by_themselves(compiled, name):
    """From Gymnasium's first state on by the same actions, each in a row of its own; all end at the same steps."""
    steps = recorded(name)
    starts = np.flatnonzero(np.diff(steps["episode"], prepend=0))[:10]
    step = compiled(Autoreset(CASES[name].environment, len(starts), 0).step)
    episodes = Episodes(as_state(name, steps["state"][starts]), tf.zeros(len(starts), tf.int64))
    running = np.ones(len(starts), np.bool_)
    for index in range(min(LENGTHS[name], STEPS - starts[-1])):
        places = np.minimum(starts + index, STEPS - 1)
        episodes, timestep = step(episodes, tf.constant(steps["action"][places]), tf.constant(index + 1, tf.int64))
        theirs = steps["observation"][places][running]
        np.testing.assert_allclose(timestep.final_observation.numpy()[running], theirs, rtol=1e-4, atol=1e-5)
        for flag in ("terminated", "truncated"):
            np.testing.assert_array_equal(getattr(timestep, flag).numpy()[running], steps[flag][places][running])
        running &= ~(steps["terminated"][places] | steps["truncated"][places])
    assert index >= 40
    assert LENGTHS[name] < 200 or running.sum() < len(starts), "some of these episodes have ended"


def test_the_spec_is_gymnasiums(name):
    spec, theirs = CASES[name].environment.spec, gymnasium.make(CASES[name].id)
    assert spec.name == name
    assert spec.max_episode_steps == theirs.spec.max_episode_steps
    assert spec.observation.dtype == str(theirs.observation_space.dtype)
    np.testing.assert_array_equal(spec.observation.low, theirs.observation_space.low)
    np.testing.assert_array_equal(spec.observation.high, theirs.observation_space.high)
    if isinstance(spec.action, Array):
        np.testing.assert_array_equal(spec.action.low, theirs.action_space.low)
        np.testing.assert_array_equal(spec.action.high, theirs.action_space.high)
        assert spec.action.dtype == str(theirs.action_space.dtype)
    else:
        assert spec.action.num_values == theirs.action_space.n


def test_episodes_start_as_gymnasiums(name):
    """Kolmogorov-Smirnov per number of the state, false once in 10**5; and no number of one row is that of another."""
    case = CASES[name]
    theirs = gymnasium.make(case.id)
    starts = []
    for seed in range(2_000):
        theirs.reset(seed=seed)
        starts.append(np.array(theirs.unwrapped.state))
    states = case.environment.initial(SEED, 4_000).numpy()
    for ours, other in zip(states.T, np.array(starts).T, strict=True):
        assert distance(ours, other) < limit(ours, other)
        assert len(np.unique(ours)) > 3_900 or not other.any()
    moving = states[:, states.any(0)]
    assert np.abs(np.corrcoef(moving.T) - np.eye(moving.shape[1])).max() < 4.5 / np.sqrt(len(moving))


def test_starts_are_the_same_bits_by_every_execution(compiled, name):
    environment = CASES[name].environment
    np.testing.assert_array_equal(compiled(lambda: environment.initial(SEED, 1_000))(), environment.initial(SEED, 1_000))


@pytest.mark.parametrize(("environment", "goal"), [(MountainCar(), 0.5), (MountainCarContinuous(), 0.45)])
def test_the_goal_is_where_it_says(environment, goal):
    """At rest a step moves a car by at most 0.0025: it doesn't end below the goal, and does above it."""
    dtype = environment.initial(SEED, 1).dtype
    states = tf.constant([[goal - 0.004, 0.0], [goal - 0.004, 0.01], [goal + 0.01, 0.0], [goal + 0.02, -0.01]], dtype)
    action = tf.constant([1] * 4, tf.int64) if dtype == tf.float64 else tf.zeros([4, 1])
    assert environment.transition(states, action, SEED)[2].numpy().tolist() == [False, True, False, False]


def test_a_car_stops_at_the_wall():
    state, *_ = MountainCar().transition(tf.constant([[-1.19, -0.05]], tf.float64), tf.constant([0]), SEED)
    assert state.numpy().tolist() == [[-1.2, 0.0]]
