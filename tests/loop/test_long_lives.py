"""Ten million steps: memory and checkpoints stay as large as after ten thousand, and sums stay exact."""

import warnings

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

import agentlab
from agentlab import errors
from agentlab.loop.statistics import EpisodeStatistics, Means
from agentlab.spec import Array, Discrete
from agentlab_envs import atari
from agentlab_envs.gymnasium import replay
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment
from agentlab_envs.gymnasium.replay import EpisodeLog

SATURATED = 2.0**24  # a float32 sum that one more no longer changes


class Endless(gymnasium.Env):
    """Ends an episode only by action 1 after so many steps; shows a random walk."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, patience=10**9, render_mode=None):
        self.patience = patience

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.normal(size=2).astype(np.float32), 0
        return self.place.copy(), {}

    def step(self, action):
        self.steps += 1
        self.place += self.np_random.normal(size=2).astype(np.float32) * 0.01 + np.float32(action)
        return self.place.copy(), 1.0, bool(action and self.steps > self.patience), False, {}


@pytest.fixture
def endless(monkeypatch):
    gymnasium.register("test/Endless-v0", Endless, disable_env_checker=True)
    monkeypatch.setattr(replay, "LOG_STEPS", 250)  # more than are tried out before a run
    yield
    del gymnasium.registry["test/Endless-v0"]


# ---- logs -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Discrete(3), Array((17,))])
def test_a_log_is_of_bounded_size_and_right_as_far_as_it_reaches(space):
    generator, rows = np.random.default_rng(0), 3
    log = EpisodeLog(rows, space)
    log.longest = 50
    log.begin(7)
    episodes, largest = [[[]] for _ in range(rows)], 0
    for step in range(2_000):
        action = generator.integers(0, 3, (rows, *space.shape)).astype(space.dtype)
        copy = action.copy()
        begun = generator.random(rows) < (0.1 if step % 500 < 250 else 0.0)  # no episode ends in every second half
        log.add(action, begun if begun.any() else None)
        action[...] = 9  # the environment's to change
        for row in range(rows):
            episodes[row][-1].append(copy[row])
            if begun[row]:
                episodes[row].append([])
        largest = max(largest, log._actions.nbytes)
        assert log.is_whole == (max(len(played[-1]) for played in episodes) <= 50)
        if log.is_whole and step % 7 == 0:
            state = log.state()
            assert state["episodes"].tolist() == [len(played) - 1 for played in episodes]
            assert state["lengths"].tolist() == [len(played[-1]) for played in episodes]
            expected = [action for played in episodes for action in played[-1]]
            np.testing.assert_array_equal(state["actions"], np.reshape(expected, (-1, *space.shape)))
    assert largest == replay.FIRST_ROOM * copy.nbytes


def test_a_log_keeps_to_its_bytes_where_actions_are_large():
    log = EpisodeLog(64, Array((1_000,)))
    assert log.longest * 64 * 1_000 * 4 <= replay.LOG_BYTES
    assert EpisodeLog(1, Discrete(2)).longest == replay.LOG_STEPS


@pytest.mark.usefixtures("endless")
def test_an_episode_that_is_too_long_to_be_played_again_is_told_once_until_it_ends():
    environment = GymnasiumEnvironment("test/Endless-v0", 2, arguments={"patience": 250})
    environment.reset(3)
    for _ in range(250):
        environment.step(np.zeros(2, np.int64))
    assert len(environment.state()["actions"]) == 500
    environment.step(np.zeros(2, np.int64))
    with pytest.warns(errors.RunWarning, match=r"in an episode of more than 250 steps, .* not exactly resumable"):
        assert environment.state() == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            environment.step(np.zeros(2, np.int64))
            assert environment.state() == {}
    environment.step(np.ones(2, np.int64))  # ends it
    environment.step(np.ones(2, np.int64))
    other = GymnasiumEnvironment("test/Endless-v0", 2, arguments={"patience": 250})
    other.reset(0)
    other.restore(environment.state())
    for action in ([0, 1], [1, 1]):
        one, again = (each_environment.step(np.array(action)) for each_environment in (environment, other))
        np.testing.assert_array_equal(one.observation, again.observation)


@pytest.mark.slow
@pytest.mark.usefixtures("endless")
def test_a_run_without_episodes_ends_is_resumed_with_new_ones_and_says_so(tmp_path):
    evaluation = {"episodes": 1, "environment": {"name": "gymnasium", "arguments": {"max_episode_steps": 5}}}
    changes = {
        "steps": 400, "checkpoint_period": 300, "environment": {"id": "test/Endless-v0"}, "evaluation": evaluation,
        "trainer": {"learning_starts": 10_000}, "execution": "graph",
    }  # fmt: skip
    with pytest.warns(errors.RunWarning, match="is in an episode of more than 250 steps") as caught:
        run = agentlab.run("dqn", 0, changes, run_dir=tmp_path / "run")
    assert len(caught) == 1
    assert run.result["exact"]
    assert not list(run.directory.glob("checkpoints/*/environment.safetensors"))
    with pytest.warns(errors.RunWarning, match="doesn't say where the environment .* new episodes"):
        resumed = agentlab.resume(run.directory, steps=450)
    assert not resumed.result["exact"]


@pytest.mark.usefixtures("endless")
def test_a_native_vector_class_which_can_not_be_played_again_logs_nothing():
    environment = GymnasiumEnvironment("CartPole-v1", 2, "native")
    environment.reset(0)
    environment.step(np.zeros(2, np.int64))
    assert environment._log is None
    assert environment.state() == {}
    environment.close()


@pytest.mark.slow
def test_games_of_atari_are_logged_within_bounds(monkeypatch):
    monkeypatch.setattr(atari, "LOG_ACTIONS", 6)
    environment = atari.Atari("pong", 2)
    environment.reset(0)
    for _ in range(3):
        timestep = environment.step(np.zeros(2, np.int64))
    timestep.observation[...] = 0  # the caller's to change
    state = environment.state()
    assert state["actions"].shape == (3, 2)
    other = atari.Atari("pong", 2)
    other.restore(state)
    for _ in range(5):
        environment.step(np.zeros(2, np.int64))
    with pytest.warns(errors.RunWarning, match="More than 6 actions were taken in pong"):
        assert environment.state() == {}
    assert len(environment._played) == 8
    for each_environment in (environment, other):
        each_environment.close()


# ---- sums --------------------------------------------------------------------------------------------------------------------


def test_returns_and_lengths_of_ten_million_steps_are_exact(compiled):
    step = compiled(lambda statistics, reward: statistics.after(reward, tf.constant([0.0, 1.0], tf.float64)))
    running = np.array([SATURATED, 1e9 + 0.5])
    start = EpisodeStatistics(running, running, running, running, running)
    reward = np.float32([1.0, 0.25])
    on_tensors = step(tf.nest.map_structure(tf.constant, start), tf.constant(reward, tf.float64))
    on_arrays = start.after(reward, np.array([False, True]))
    for result in (tf.nest.map_structure(lambda tensor: tensor.numpy(), on_tensors), on_arrays):
        assert result.running_return.tolist() == [SATURATED + 1, 0.0]
        assert result.running_length.tolist() == [SATURATED + 1, 0.0]
        assert result.episodes.tolist() == [SATURATED, 1e9 + 1.5]
        assert result.return_sum.tolist() == [SATURATED, 2e9 + 1.25]
        assert result.length_sum.tolist() == [SATURATED, 2e9 + 2.0]


def test_means_of_more_updates_than_float32_counts_are_exact(compiled):
    means = Means(["loss"])
    add = compiled(lambda loss: means.add({"loss": loss}))
    means.variables()["sums"].assign([SATURATED * 0.5, SATURATED])
    for _ in range(4):
        add(tf.constant(1.0))
    assert means.count() == SATURATED + 4
    assert means.collect() == {"loss": (SATURATED * 0.5 + 4) / (SATURATED + 4)}
