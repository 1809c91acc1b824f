"""MinAtar's Breakout against the `minatar` package's Python game, step for step, and by its rules."""

import numpy as np
import pytest
import tensorflow as tf
from minatar.environments import breakout

from agentlab import seeds
from agentlab.loop.autoreset import Autoreset
from agentlab.tensors.execution import Compiled
from agentlab_envs.minatar.breakout import MinAtarBreakout

KEY = seeds.stream(0, "test")
GAME = MinAtarBreakout()
ADVANCE = Compiled(lambda game, action: GAME.advance(game, action, ()), "graph")
NAMES = {  # ours, theirs
    "ball_x": "ball_x",
    "ball_y": "ball_y",
    "direction": "ball_dir",
    "last_x": "last_x",
    "last_y": "last_y",
    "paddle": "pos",
    "bricks": "brick_map",
    "struck": "strike",
}


def theirs(games):
    """Returns the package's games as ours."""
    columns = {ours: np.array([getattr(game, name) for game in games]) for ours, name in NAMES.items()}
    kinds = {name: bool if name in ("bricks", "struck") else np.int64 for name in NAMES}
    return {name: tf.constant(column.astype(kinds[name])) for name, column in columns.items()}


def board_of(games):
    """Returns the observations of our games."""
    return GAME.observe({"game": games})


def assert_same(state, games):
    expected = theirs(games)
    for name in NAMES:
        np.testing.assert_array_equal(state[name], expected[name], name)


def scrambled(seed):
    """Returns a package's game in the middle of things: any number of bricks, the ball and its direction anywhere."""
    generator, game = np.random.default_rng(seed), breakout.Env()
    game.brick_map[1:4] = generator.uniform(size=(3, 10)) < generator.choice([0.0, 0.05, 0.5, 1.0])
    game.ball_x, game.pos = generator.integers(0, 10, 2)
    game.ball_y = generator.integers(0, 9)
    game.last_x, game.last_y = game.ball_x, game.ball_y
    game.ball_dir = generator.integers(0, 4)
    game.strike = bool(generator.integers(0, 2))
    return game


def skilled(game, generator):
    """Returns an action that mostly follows the ball, so that games last."""
    target = game.ball_x if generator.uniform() < 0.9 else generator.integers(0, 10)
    return 1 if game.pos > target else 3 if game.pos < target else int(generator.choice([0, 2, 4, 5]))


@pytest.mark.slow
def test_games_are_the_packages_step_for_step():
    """All actions, from hundreds of positions; each game that ends begins in another one."""
    generator, count = np.random.default_rng(0), 200
    games = [scrambled(seed) for seed in range(count)]
    state, broken, lost, cleared = theirs(games), 0, 0, 0
    for turn in range(150):
        actions = [skilled(game, generator) for game in games]
        before = [game.brick_map.sum() for game in games]
        outcomes = [game.act(action) for game, action in zip(games, actions, strict=True)]
        state, reward, terminated = ADVANCE(state, tf.constant(actions, tf.int64))
        assert reward.numpy().tolist() == [reward for reward, _ in outcomes]
        assert terminated.numpy().tolist() == [ended for _, ended in outcomes]
        np.testing.assert_array_equal(board_of(state), [game.state() for game in games])
        assert_same(state, games)
        broken, lost = broken + sum(reward for reward, _ in outcomes), lost + sum(ended for _, ended in outcomes)
        cleared += sum(now.brick_map.sum() > earlier for now, earlier in zip(games, before, strict=True))
        games = [scrambled(1_000 * turn + row) if game.terminal else game for row, game in enumerate(games)]
        state = theirs(games)
    assert min(broken, lost, cleared) > 100, "the games had everything in them"


@pytest.mark.parametrize("side", [0, 1])
def test_a_new_game_is_the_packages(side):
    game = breakout.Env()
    game.random = type("Drawn", (), {"randint": lambda self, limit: side})()
    game.reset()
    states = MinAtarBreakout().initial(seeds.at(KEY, 0), 50)
    rows = np.flatnonzero(states["game"]["direction"].numpy() == side + 2)
    assert 10 < len(rows) < 40
    assert_same({name: leaf.numpy()[rows] for name, leaf in states["game"].items()}, [game] * len(rows))


@pytest.mark.slow
def test_whole_episodes_are_the_packages():
    """The runtime's own stepping, with sticky actions: what stuck is read off our state and given to the package's game."""
    environment, rows = MinAtarBreakout(minimal=False), 8
    autoreset = Autoreset(environment, rows, 0)
    step = Compiled(autoreset.step, "graph")
    episodes, timestep = autoreset.reset()
    generator, games, stuck, ended = np.random.default_rng(1), [breakout.Env() for _ in range(rows)], 0, 0
    for row, game in enumerate(games):
        game.ball_x, game.ball_dir = [(0, 2), (9, 3)][int(episodes.state["game"]["direction"][row]) - 2]
        game.last_x = game.ball_x
    for index in range(1, 400):
        last = episodes.state["action"].numpy()
        actions = np.array([skilled(game, generator) for game in games])
        episodes, timestep = step(episodes, tf.constant(actions, tf.int64), tf.constant(index, tf.int64))
        taken = episodes.state["action"].numpy()
        assert ((taken == actions) | (taken == last)).all()
        stuck += int((taken != actions).sum())
        for row, game in enumerate(games):
            reward, terminal = game.act(int(taken[row]))
            assert (float(timestep.reward[row]), bool(timestep.terminated[row])) == (reward, terminal)
            np.testing.assert_array_equal(timestep.final_observation[row], game.state())
            if terminal:
                ended += 1
                game.reset()
                game.ball_x, game.ball_dir = [(0, 2), (9, 3)][int(episodes.state["game"]["direction"][row]) - 2]
                game.last_x = game.ball_x
            np.testing.assert_array_equal(timestep.observation[row], game.state())
    assert ended > 5
    assert stuck > 50


def test_a_tenth_of_the_actions_stick(assert_frequencies):
    environment = MinAtarBreakout(minimal=False)
    state = {**environment.initial(seeds.at(KEY, 0), 20_000), "action": tf.fill([20_000], tf.constant(2, tf.int64))}
    after, *_ = environment.transition(state, tf.fill([20_000], tf.constant(4, tf.int64)), seeds.at(KEY, 1))
    assert set(after["action"].numpy()) == {2, 4}
    assert_frequencies(after["action"].numpy() == 2, [0.9, 0.1])


def test_the_minimal_actions_are_none_left_and_right():
    environment = MinAtarBreakout(sticky=0.0)
    assert environment.spec.action.num_values == 3
    state = environment.initial(seeds.at(KEY, 0), 3)
    after, *_ = environment.transition(state, tf.constant([0, 1, 2], tf.int64), seeds.at(KEY, 1))
    assert after["game"]["paddle"].numpy().tolist() == [4, 3, 5]
    assert MinAtarBreakout(minimal=False).spec.action.num_values == 6


def test_the_last_action_outlives_an_episode():
    environment = MinAtarBreakout()
    state = {**environment.initial(seeds.at(KEY, 0), 2), "action": tf.constant([3, 1], tf.int64)}
    assert environment.restart(state, seeds.at(KEY, 1))["action"].numpy().tolist() == [3, 1]
