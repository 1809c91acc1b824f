"""MinAtar's games against the `minatar` package's, step for step: state, board, reward and end, with the same random numbers.

Breakout, which draws nothing in a game, has tests of its own in test_minatar_breakout.py.
"""

import attrs
import numpy as np
import pytest
import tensorflow as tf
from minatar.environments import asterix, freeway, seaquest, space_invaders

from agentlab import seeds
from agentlab.loop.autoreset import Autoreset
from agentlab.tensors.execution import Compiled
from agentlab_envs.minatar.asterix import MinAtarAsterix
from agentlab_envs.minatar.freeway import MinAtarFreeway
from agentlab_envs.minatar.seaquest import DIVERS, ENEMIES, SHOTS, MinAtarSeaquest
from agentlab_envs.minatar.space_invaders import MinAtarSpaceInvaders

KEY = seeds.stream(0, "test")
COUNT = 100  # games side by side


class Drawn:
    """Random numbers as the package asks for them, from those that our games take."""

    def __init__(self):
        self.numbers, self.next = np.zeros(0, np.float32), 0

    def rand(self, size=None):
        self.next += size or 1
        numbers = self.numbers[self.next - (size or 1) : self.next]
        return numbers.astype(np.float64) if size else float(numbers[0])

    def randint(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        self.next += size or 1
        whole = low + (self.numbers[self.next - (size or 1) : self.next] * np.float32(high - low)).astype(np.int64)
        return whole if size else int(whole[0])


def entered(game, name, place):
    """Lets a method of the package's game draw from a place of the numbers on."""
    method = getattr(game, name)

    def draw():
        game.random.next = place
        method()

    setattr(game, name, draw)


def table(things, columns, room):
    """Returns a list of the package's things as arrays `[room]`, the newest first."""
    kinds = {"right": bool, "submarine": bool}
    arrays = {"there": np.arange(room) < len(things)}
    for name, index in columns.items():
        arrays[name] = np.zeros(room, kinds.get(name, np.int64))
        arrays[name][: len(things)] = [thing[index] for thing in reversed(things)]
    return arrays


def packed(things):
    """Returns our things `[B, N]` without gaps between them, and nothing where there are none."""
    there = things["there"].numpy()
    order = np.argsort(~there, axis=1, kind="stable")
    taken = {name: np.take_along_axis(value.numpy(), order, axis=1) for name, value in things.items()}
    return {name: np.where(taken["there"], value, 0).astype(value.dtype) for name, value in taken.items()}


def asterix_state(game):
    lanes = [entity or [0, 0, False, False] for entity in game.entities]
    return {
        "x": game.player_x,
        "y": game.player_y,
        "there": np.array([entity is not None for entity in game.entities]),
        "column": np.array([entity[0] for entity in lanes]),
        "right": np.array([entity[2] for entity in lanes], bool),
        "treasure": np.array([entity[3] for entity in lanes], bool),
        "spawn_period": game.spawn_speed,
        "spawn_timer": game.spawn_timer,
        "move_period": game.move_speed,
        "move_timer": game.move_timer,
        "ramp_timer": game.ramp_timer,
        "ramps": game.ramp_index,
    }


def asterix_game(generator):
    """A game at any level of difficulty, soon to rise, with things in some lanes."""
    game = asterix.Env()
    game.spawn_speed, game.move_speed = int(generator.integers(1, 11)), int(generator.integers(1, 6))
    game.spawn_timer = int(generator.integers(0, game.spawn_speed + 1))
    game.move_timer = int(generator.integers(0, game.move_speed + 1))
    game.ramp_timer, game.ramp_index = int(generator.integers(-1, 101)), int(generator.integers(0, 20))
    for lane in np.flatnonzero(generator.uniform(size=8) < 0.6):
        right, gold = generator.uniform(size=2) < 0.5
        game.entities[lane] = [int(generator.integers(0, 10)), int(lane) + 1, bool(right), bool(gold)]
    return game


def asterix_ours(game):
    lanes = ("right", "treasure")
    return {
        **game,
        **{name: game[name] & game["there"] for name in lanes},
        "column": tf.where(game["there"], game["column"], 0),
    }


def freeway_state(game):
    cars = np.array(game.cars)
    return {"y": game.pos, "timer": game.move_timer, "column": cars[:, 0], "wait": cars[:, 2], "speed": cars[:, 3]}


def freeway_game(generator):
    game = freeway.Env()
    game.pos, game.move_timer = int(generator.integers(1, 10)), int(generator.integers(0, 4))
    for car in game.cars:
        car[0], car[2] = int(generator.integers(0, 10)), int(generator.integers(0, abs(car[3]) + 1))
    return game


def invaders_state(game):
    return {
        "column": game.pos,
        "aliens": game.alien_map.astype(bool),
        "shots": game.f_bullet_map.astype(bool),
        "bombs": game.e_bullet_map.astype(bool),
        "right": game.alien_dir > 0,
        "period": game.enemy_move_interval,
        "move_timer": game.alien_move_timer,
        "bomb_timer": game.alien_shot_timer,
        "shot_timer": game.shot_timer,
    }


def invaders_game(generator):
    """A game with any number of aliens, high or low, and any difficulty."""
    game = space_invaders.Env()
    game.alien_map = np.roll(game.alien_map, (generator.integers(0, 7), generator.integers(-2, 3)), axis=(0, 1))
    game.alien_map *= generator.uniform(size=(10, 10)) < generator.choice([0.05, 0.3, 1.0])
    game.alien_map[0, 4] = 1
    game.e_bullet_map = (generator.uniform(size=(10, 10)) < 0.02).astype(float)
    game.pos, game.alien_dir = int(generator.integers(0, 10)), int(generator.choice([-1, 1]))
    game.enemy_move_interval = int(generator.integers(6, 13))
    game.alien_move_timer = int(generator.integers(0, game.enemy_move_interval + 1))
    game.alien_shot_timer, game.shot_timer = int(generator.integers(0, 11)), int(generator.integers(0, 6))
    return game


FISH = {"x": 0, "y": 1, "right": 2, "timer": 3}
SUBMARINE = {**FISH, "reload": 4}
SHOT = {"x": 0, "y": 1, "right": 2}


def seaquest_state(game):
    torpedoes = np.zeros((2, 10, 10), bool)
    for x, y, right in game.e_bullets:
        torpedoes[int(right), y, x] = True
    return {
        "x": game.sub_x,
        "y": game.sub_y,
        "right": game.sub_or,
        "oxygen": game.oxygen,
        "divers": game.diver_count,
        "up": game.surface,
        "fish": table(game.e_fish, FISH, ENEMIES),
        "submarines": table(game.e_subs, SUBMARINE, ENEMIES),
        "people": table(game.divers, FISH, DIVERS),
        "shots": table(game.f_bullets, SHOT, SHOTS),
        "torpedoes": torpedoes,
        "spawn_period": game.e_spawn_speed,
        "spawn_timer": game.e_spawn_timer,
        "diver_timer": game.d_spawn_timer,
        "move_period": game.move_speed,
        "shot_timer": game.shot_timer,
        "ramps": game.ramp_index,
    }


def seaquest_game(generator):
    """A game without things yet, but for divers on board, at any level of difficulty and oxygen."""
    game = seaquest.Env()
    level = int(generator.integers(0, 30))
    game.ramp_index, game.e_spawn_speed, game.move_speed = level, max(1, 20 - level), max(2, 5 - level // 2)
    game.e_spawn_timer = int(generator.integers(0, game.e_spawn_speed + 1))
    game.d_spawn_timer = int(generator.integers(0, 31))
    game.oxygen, game.diver_count = int(generator.integers(30, 201)), int(generator.integers(-1, 7))
    game.sub_y = int(generator.integers(0, 9))
    game.surface = game.sub_y == 0
    return game


def seaquest_ours(game):
    """Returns our games in the form of `seaquest_state`."""
    enemies, game = game["enemies"], dict(game)
    submarines, fish = enemies["submarine"], {name: value for name, value in enemies.items() if name in FISH}
    game |= {"fish": packed({**fish, "there": enemies["there"] & ~submarines})}
    game |= {"submarines": packed({**{name: enemies[name] for name in SUBMARINE}, "there": enemies["there"] & submarines})}
    del game["enemies"]
    return {**game, "people": packed(game["people"]), "shots": packed(game["shots"])}


def seaquest_injected(state):
    """Returns our games for states of `seaquest_state` in which there are no enemies."""
    fish, submarines = state.pop("fish"), state.pop("submarines")
    return {**state, "enemies": {**fish, "reload": submarines["reload"], "submarine": submarines["there"]}}


@attrs.frozen
class Case:
    """A game: ours, a package's game in the middle of things, both in a common form, and the probabilities of its actions."""

    ours: object
    module: object
    begin: object
    state: object
    habits: tuple
    common: object = lambda game: game
    injected: object = lambda state: state
    places: tuple = ()  # of the random numbers that methods draw


CASES = {
    "asterix": Case(MinAtarAsterix(), asterix, asterix_game, asterix_state, (1, 2, 2, 2, 2, 0.2), asterix_ours),
    "freeway": Case(MinAtarFreeway(), freeway, freeway_game, freeway_state, (1, 0.1, 8, 0.1, 1, 0.1)),
    "space-invaders": Case(MinAtarSpaceInvaders(), space_invaders, invaders_game, invaders_state, (1, 2, 0.1, 2, 0.1, 4)),
    "seaquest": Case(
        MinAtarSeaquest(), seaquest, seaquest_game, seaquest_state, (1, 3, 3, 3, 3, 5), seaquest_ours, seaquest_injected,
        (("_spawn_enemy", 0), ("_spawn_diver", 3)),
    ),
}  # fmt: skip


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]


def begun(case, seed):
    """Returns a package's game that draws our numbers."""
    game = case.begin(np.random.default_rng(seed))
    game.random = Drawn()
    for name, place in case.places:
        entered(game, name, place)
    return game


def stacked(case, games):
    return tf.nest.map_structure(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *map(case.state, games))


def tensors(state):
    return tf.nest.map_structure(lambda leaf: tf.constant(leaf, tf.bool if leaf.dtype == bool else tf.int64), state)


def held(actions, previous, generator):
    """Returns actions of which half are the previous ones, so that games go somewhere."""
    return np.where(generator.uniform(size=len(actions)) < 0.5, previous, actions)


def assert_same(case, ours, games, turn):
    expected, outcomes = stacked(case, games), tf.nest.map_structure(np.asarray, case.common(ours))
    assert expected.keys() == outcomes.keys()
    for name in expected:
        tf.nest.map_structure(
            lambda one, other, name=name: np.testing.assert_array_equal(one, other, f"{name} at turn {turn}"),
            outcomes[name],
            expected[name],
        )


@pytest.mark.slow
def test_games_are_the_packages_step_for_step(case):
    """15,000 steps from anywhere in a game; each that ends begins in another one."""
    advance = Compiled(case.ours.advance, "graph")
    generator = np.random.default_rng(0)
    games = [begun(case, seed) for seed in range(COUNT)]
    ours = case.injected(tensors(stacked(case, games)))
    habits, actions = np.array(case.habits) / sum(case.habits), np.zeros(COUNT, np.int64)
    earned, ended = 0.0, 0
    for turn in range(150):
        actions = held(generator.choice(6, COUNT, p=habits), actions, generator)
        drawn = (generator.integers(0, 2**24, (COUNT, case.ours.draws)) / 2**24).astype(np.float32)
        for game, numbers in zip(games, drawn, strict=True):
            game.random.numbers, game.random.next = numbers, 0
        outcomes = [game.act(action) for game, action in zip(games, actions, strict=True)]

        ours, reward, terminated = advance(ours, tf.constant(actions, tf.int64), tf.constant(drawn))
        assert reward.numpy().tolist() == [float(reward) for reward, _ in outcomes]
        assert terminated.numpy().tolist() == [bool(ended) for _, ended in outcomes]
        np.testing.assert_array_equal(case.ours.observe({"game": ours}), [game.state() for game in games])
        assert_same(case, ours, games, turn)

        earned, ended = earned + sum(reward for reward, _ in outcomes), ended + terminated.numpy().sum()
        for row in np.flatnonzero(terminated.numpy()):
            games[row] = begun(case, 1_000 * turn + row)
            fresh = case.injected(tensors(stacked(case, [games[row]])))
            ours = tf.nest.map_structure(lambda old, new, row=row: tf.concat([old[:row], new, old[row + 1 :]], 0), ours, fresh)
    assert earned > 100
    assert ended > 50 or case.ours.max_episode_steps, "games ended"


def test_a_new_game_is_the_packages(case):
    states = case.ours.initial(seeds.at(KEY, 0), 50)
    game = case.module.Env()
    if case.module is freeway:  # cars have random speeds
        speeds = states["game"]["speed"].numpy()
        game.cars = [[0, lane + 1, abs(speed), speed] for lane, speed in enumerate(speeds[7])]
        assert set(speeds.ravel()) == {*range(-5, 0), *range(1, 6)}
    np.testing.assert_array_equal(case.ours.observe(states)[7], game.state())
    for name, value in case.state(game).items():
        tf.nest.map_structure(
            lambda ours, other: np.testing.assert_array_equal(np.asarray(ours)[7], other),
            case.common(states["game"])[name],
            value,
        )


def test_the_minimal_actions_are_the_packages(case):
    assert list(case.ours.useful) == case.module.Env().minimal_action_set()
    assert case.ours.spec.action.num_values == len(case.ours.useful)
    assert attrs.evolve(case.ours, minimal=False).spec.action.num_values == 6


@pytest.mark.slow
def test_whole_trainings_draw_their_own_numbers(case):
    """By itself, in the loop's own steps: a hundred steps of other games in every row, rewards and ends among them."""
    step = Compiled(Autoreset(case.ours, 64, 0).step, "graph")
    episodes, _ = Autoreset(case.ours, 64, 0).reset()
    generator, rewards, boards = np.random.default_rng(0), 0.0, []
    for index in range(1, 101):
        actions = tf.constant(generator.integers(0, len(case.ours.useful), 64))
        episodes, timestep = step(episodes, actions, tf.constant(index, tf.int64))
        rewards += float(tf.reduce_sum(timestep.reward))
    boards = timestep.observation.numpy().reshape(64, -1)
    assert len(np.unique(boards, axis=0)) > 30
    assert rewards > 0 or case.module is freeway  # nobody crosses at random


def test_freeway_ends_where_the_packages_does():
    game, steps = freeway.Env(), 0
    while not game.act(0)[1]:
        steps += 1
    assert MinAtarFreeway().spec.max_episode_steps == steps + 1


def test_things_appear_as_often_as_the_package_says(assert_frequencies):
    """Sides, kinds and lanes of what appears in Asterix, whose draws the package makes likewise."""
    state = MinAtarAsterix().initial(seeds.at(KEY, 0), 20_000)
    game = {**state["game"], "spawn_timer": tf.zeros([20_000], tf.int64)}
    after, *_ = MinAtarAsterix().transition({**state, "game": game}, tf.zeros([20_000], tf.int64), seeds.at(KEY, 1))
    there, lanes = after["game"]["there"].numpy(), np.arange(8)
    assert (there.sum(1) == 1).all()
    assert_frequencies((there * lanes).sum(1), [1 / 8] * 8)
    assert_frequencies(after["game"]["right"].numpy()[there], [1 / 2, 1 / 2])
    assert_frequencies(after["game"]["treasure"].numpy()[there], [2 / 3, 1 / 3])
