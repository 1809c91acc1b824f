"""MinAtar's Seaquest: a submarine shoots fish and submarines, rescues divers and comes up for air."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.system.ranges import COUNT, Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.minatar.game import (
    CELL,
    DOWN,
    FIRE,
    FLAG,
    LEFT,
    NONE,
    RIGHT,
    SIDE,
    UP,
    MinAtarGame,
    cell,
    cells,
    choose,
    count_down,
    direction,
    either,
    filled,
    moved,
)

LOWEST = SIDE - 2  # row of the sea's floor; below it are the gauges of oxygen and divers
OXYGEN = 200  # steps
RELOAD, ENEMY_RELOAD = 5, 10  # steps between two shots
SPAWN_PERIOD, MOVE_PERIOD, SHORTEST_MOVE = 20, 5, 2  # of enemies, at first; and their fastest moves
DIVER_SPAWN_PERIOD, DIVER_MOVE_PERIOD = 30, 5
SEATS = 6  # for divers
# As many as there can be at once: each takes ten moves to cross the board, and one appears in each period.
ENEMIES = SIDE * (SHORTEST_MOVE + 1)
DIVERS = 2
SHOTS = 2


@attrs.frozen
class MinAtarSeaquest(MinAtarGame):
    """A submarine earns 1 for each enemy it shoots and up to 10 for bringing up six divers, more if more oxygen is left.

    Coming up with divers fills the oxygen and costs a diver; each time, enemies appear and move faster. The task ends at an
    enemy or its shot, without oxygen, and when it comes up without a diver. Episodes have no other end. Channels: the
    submarine's front and back, its shots, trails, enemies' shots, fish, enemy submarines, the gauges of oxygen and divers,
    divers. The game is a mapping of the submarine's column and row, `x` and `y`, whether it faces `right`; `oxygen`, `divers`
    on board, whether it has been `up` since it last dived; `enemies`, `people` and `shots`, lists of things as mappings
    `[B, N]`, the newest first; the enemies' shots that move left and right as maps `[B, 2, 10, 10]`, `torpedoes`; and of
    periods and timers in steps.
    """

    name: ClassVar[str] = "minatar-seaquest"
    channels: ClassVar[int] = 10
    useful: ClassVar[tuple[int, ...]] = (NONE, LEFT, UP, RIGHT, DOWN, FIRE)
    draws: ClassVar[int] = 5  # side, kind and row of an enemy; side and row of a diver

    def begin(self, seed: Seed, batch: int) -> Nest:
        never = tf.zeros([batch], tf.bool)
        return {
            "x": filled(batch, SIDE // 2),
            "y": filled(batch, 0),
            "right": never,
            "oxygen": filled(batch, OXYGEN),
            "divers": filled(batch, 0),
            "up": ~never,
            "enemies": _nothing(batch, ENEMIES, ("timer", "reload"), ("submarine",)),
            "people": _nothing(batch, DIVERS, ("timer",)),
            "shots": _nothing(batch, SHOTS),
            "torpedoes": tf.zeros([batch, 2, SIDE, SIDE], tf.bool),
            "spawn_period": filled(batch, SPAWN_PERIOD),
            "spawn_timer": filled(batch, SPAWN_PERIOD),
            "diver_timer": filled(batch, DIVER_SPAWN_PERIOD),
            "move_period": filled(batch, MOVE_PERIOD),
            "shot_timer": filled(batch, 0),
            "ramps": filled(batch, 0),
        }

    def advance(self, game: Nest, action: Tensor, drawn: Tensor) -> tuple[Nest, Tensor, Tensor]:
        # In the package's order: what moves first decides who hits whom.
        game = _act(_spawn(game, drawn), action)
        game, shot = _move_shots(game)
        game = _move_people(game)
        game, by_submarine, hit = _move_enemies(game, submarines=True)
        game, by_torpedo = _move_torpedoes(game)
        game, by_fish, hit_too = _move_enemies(game, submarines=False)

        # Air, surfacing and the end of the game.
        game, earned, drowned = _breathe(game)
        reward = tf.cast(shot + hit + hit_too + earned, tf.float32)
        timers = {name: count_down(game[name]) for name in ("spawn_timer", "diver_timer", "shot_timer")}
        return {**game, **timers}, reward, by_submarine | by_torpedo | by_fish | drowned

    def game_ranges(self) -> Nest:
        thing = {"there": FLAG, "x": CELL, "y": CELL, "right": FLAG}
        timers = {"timer": Range(0, MOVE_PERIOD), "reload": Range(0, ENEMY_RELOAD), "submarine": FLAG}
        return {
            **dict.fromkeys(("x", "y"), CELL),
            **dict.fromkeys(("right", "up", "torpedoes"), FLAG),
            "oxygen": Range(-1, OXYGEN),
            "divers": Range(-(2**31), SEATS),
            "enemies": {**thing, **timers},
            "people": {**thing, "timer": Range(0, DIVER_MOVE_PERIOD)},
            "shots": thing,
            "spawn_period": Range(1, SPAWN_PERIOD),
            "spawn_timer": Range(0, SPAWN_PERIOD),
            "diver_timer": Range(0, DIVER_SPAWN_PERIOD),
            "move_period": Range(SHORTEST_MOVE, MOVE_PERIOD),
            "shot_timer": Range(0, RELOAD),
            "ramps": COUNT,
        }

    def board(self, game: Nest) -> list[Tensor]:
        enemies, people, shots, torpedoes = (game[name] for name in ("enemies", "people", "shots", "torpedoes"))
        trails = [cells(things["x"] - direction(things["right"]), things["y"], things["there"]) for things in (enemies, people)]
        return [
            cell(game["x"], game["y"]),
            cell(game["x"] - direction(game["right"]), game["y"]),
            _board_of(shots),
            trails[0] | trails[1],
            torpedoes[:, 0] | torpedoes[:, 1],
            _board_of(enemies, ~enemies["submarine"]),
            _board_of(enemies, enemies["submarine"]),
            _gauge(tf.zeros_like(game["oxygen"]), tf.maximum(game["oxygen"], 0) * SIDE // OXYGEN),
            _gauge(SIDE - 1 - game["divers"], tf.zeros_like(game["divers"]) + SIDE - 1),
            _board_of(people),
        ]


def _nothing(batch: int, count: int, numbers: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> Nest:
    """Returns a list of no things, with room for `count`."""
    number, flag = tf.zeros([batch, count], tf.int64), tf.zeros([batch, count], tf.bool)
    things = {"there": flag, "x": number, "y": number, "right": flag}
    return {**things, **dict.fromkeys(numbers, number), **dict.fromkeys(flags, flag)}


def _put(things: Nest, new: Nest, where: Tensor) -> Nest:
    """Returns things `[B, N]` with a new one `[B]` put first where `where` `[B]` is True."""
    values = {"there": tf.ones_like(where), **new}
    return {
        name: tf.where(where[:, None], tf.concat([values[name][:, None], old[:, :-1]], axis=1), old)
        for name, old in things.items()
    }


def _without(things: Nest, gone: Tensor) -> Nest:
    return {**things, "there": things["there"] & ~gone}


def _board_of(things: Nest, which: Tensor | None = None) -> Tensor:
    """Returns the board `[B, 10, 10]` of things `[B, N]`, or of some of them."""
    return cells(things["x"], things["y"], things["there"] if which is None else things["there"] & which)


def _gauge(begin: Tensor, end: Tensor) -> Tensor:
    """Returns a board with the cells from column `begin` `[B]` up to `end` in the lowest row."""
    columns = tf.range(SIDE, dtype=tf.int64)
    row = (columns >= begin[:, None]) & (columns < end[:, None])
    return tf.pad(row[:, None], [[0, 0], [SIDE - 1, 0], [0, 0]])


def _at(things: Nest, x: Tensor, y: Tensor) -> Tensor:
    """Returns which things `[B, N]` are at a place `[B]`."""
    return things["there"] & tf.equal(things["x"], x[:, None]) & tf.equal(things["y"], y[:, None])


def _first(which: Tensor, reverse: bool = False) -> Tensor:
    """Returns `[B, N]` with only the first, or last, True of each row left."""
    return which & tf.equal(tf.cumsum(tf.cast(which, tf.int32), axis=1, reverse=reverse), 1)


def _slot(things: Nest, slot: int) -> Nest:
    return {name: value[:, slot] for name, value in things.items()}


def _side(right: Tensor) -> Tensor:
    """Returns the column where things that move to the right, or left, come in."""
    return either(right, 0, SIDE - 1)


def _spawn(game: Nest, drawn: Tensor) -> Nest:
    """Returns the games with a new enemy and a new diver where it is time.

    There is no new enemy where one comes the other way in its row.
    """
    # [B] the enemy
    right, row = drawn[:, 0] < 1 / 2, 1 + choose(drawn[:, 2], LOWEST)
    enemies, due = game["enemies"], tf.equal(game["spawn_timer"], 0)
    meets = enemies["there"] & tf.equal(enemies["y"], row[:, None]) & (enemies["right"] ^ right[:, None])
    enemy = {"x": _side(right), "y": row, "right": right, "submarine": drawn[:, 1] < 1 / 3}
    enemy |= {"timer": game["move_period"], "reload": tf.zeros_like(row) + ENEMY_RELOAD}

    # [B] the diver
    diver_due, diver_right = tf.equal(game["diver_timer"], 0), drawn[:, 3] < 1 / 2
    diver = {"x": _side(diver_right), "y": 1 + choose(drawn[:, 4], LOWEST), "right": diver_right}
    diver["timer"] = tf.zeros_like(row) + DIVER_MOVE_PERIOD
    return {
        **game,
        "enemies": _put(enemies, enemy, due & ~tf.reduce_any(meets, axis=1)),
        "people": _put(game["people"], diver, diver_due),
        "spawn_timer": tf.where(due, game["spawn_period"], game["spawn_timer"]),
        "diver_timer": either(diver_due, DIVER_SPAWN_PERIOD, game["diver_timer"]),
    }


def _act(game: Nest, action: Tensor) -> Nest:
    """Returns the games with the submarine moved, or with a new shot."""
    # [B] whether a shot is fired; the submarine moves in the same step.
    fires = tf.equal(action, FIRE) & tf.equal(game["shot_timer"], 0)
    shot = {"x": game["x"], "y": game["y"], "right": game["right"]}
    return {
        **game,
        "x": moved(game["x"], action, LEFT, RIGHT),
        "y": moved(game["y"], action, UP, DOWN, 0, LOWEST),
        "right": tf.equal(action, RIGHT) | (game["right"] & tf.not_equal(action, LEFT)),
        "shots": _put(game["shots"], shot, fires),
        "shot_timer": either(fires, RELOAD, game["shot_timer"]),
    }


def _move_shots(game: Nest) -> tuple[Nest, Tensor]:
    """Returns the games with the submarine's shots one cell further, and how many enemies they hit `[B]` int64.

    A shot hits one enemy: the oldest fish in its cell, else the oldest submarine. The newest shot comes first.
    """
    shots = _on(game["shots"], tf.ones_like(game["shots"]["there"]))
    enemies, spent, hits = game["enemies"], [], tf.zeros_like(game["x"])

    # One shot after the other: an enemy can be hit once.
    for slot in range(SHOTS):
        shot = _slot(shots, slot)
        here = _at(enemies, shot["x"], shot["y"]) & shot["there"][:, None]
        fish = here & ~enemies["submarine"]
        target = tf.where(tf.reduce_any(fish, axis=1, keepdims=True), fish, here)
        enemies = _without(enemies, _first(target, reverse=True))
        spent.append(tf.reduce_any(here, axis=1))
        hits += tf.cast(spent[-1], tf.int64)
    return {**game, "enemies": enemies, "shots": _without(shots, tf.stack(spent, axis=1))}, hits


def _on(things: Nest, moves: Tensor) -> Nest:
    """Returns things `[B, N]` with those that move one cell further, without those that left the board."""
    x = things["x"] + tf.where(moves, direction(things["right"]), 0)
    there = things["there"] & (x >= 0) & (x < SIDE)
    return {**things, "x": tf.where(there, x, 0), "there": there}


def _move_people(game: Nest) -> Nest:
    """Returns the games with the divers moved where it is time; the submarine takes those it meets, while it has seats."""
    people, on_board = game["people"], game["divers"]
    due = people["there"] & tf.equal(people["timer"], 0)
    after, taken = _on(people, due), []

    # One diver after the other: the last seat can be taken once.
    for slot in range(DIVERS):
        before = _at(people, game["x"], game["y"])[:, slot]
        here = before | _at(after, game["x"], game["y"])[:, slot]
        taken.append(here & (on_board < SEATS))
        on_board += tf.cast(taken[-1], tf.int64)
    timer = either(due, DIVER_MOVE_PERIOD, people["timer"] - tf.cast(people["there"], tf.int64))
    return {**game, "divers": on_board, "people": {**_without(after, tf.stack(taken, axis=1)), "timer": timer}}


def _move_enemies(game: Nest, submarines: bool) -> tuple[Nest, Tensor, Tensor]:
    """Returns the games with enemies of one kind moved where it is time, whether one met the submarine, and how many were hit.

    Submarines shoot where it is time, also those that have just gone.
    """
    enemies = game["enemies"]
    kind = enemies["there"] & (enemies["submarine"] if submarines else ~enemies["submarine"])
    due = kind & tf.equal(enemies["timer"], 0)
    after = _on(enemies, due)
    after["timer"] = tf.where(due, game["move_period"][:, None], enemies["timer"] - tf.cast(kind, tf.int64))
    met = _at(after, game["x"], game["y"]) & kind
    ended = tf.reduce_any((_at(enemies, game["x"], game["y"]) & kind) | met, axis=1)

    reload = enemies["reload"]
    fires = kind & tf.equal(reload, 0) & submarines
    after["reload"] = either(fires, ENEMY_RELOAD, reload - tf.cast(kind & submarines, tf.int64))
    torpedoes = game["torpedoes"] | _torpedoes(after, fires)
    after, shots, hits = _run_into_shots(after, due & ~met, game["shots"])
    return {**game, "enemies": after, "shots": shots, "torpedoes": torpedoes}, ended, hits


def _torpedoes(enemies: Nest, fires: Tensor) -> Tensor:
    """Returns the shots of enemies that fire, `[B, 2, 10, 10]`; those of enemies off the board are lost."""
    fires &= enemies["there"]
    sides = [cells(enemies["x"], enemies["y"], fires & right) for right in (~enemies["right"], enemies["right"])]
    return tf.stack(sides, axis=1)


def _run_into_shots(enemies: Nest, moving: Tensor, shots: Nest) -> tuple[Nest, Nest, Tensor]:
    """Returns the enemies and the shots without those that met, and how many enemies were hit `[B]` int64.

    The newest enemy comes first, and meets the oldest shot.
    """
    spent, hits = [], tf.zeros_like(shots["x"][:, 0])
    for slot in reversed(range(SHOTS)):
        shot = _slot(shots, slot)
        target = _first(_at(enemies, shot["x"], shot["y"]) & moving & shot["there"][:, None])
        enemies = _without(enemies, target)
        spent.append(tf.reduce_any(target, axis=1))
        hits += tf.cast(spent[-1], tf.int64)
    return enemies, _without(shots, tf.stack(spent[::-1], axis=1)), hits


def _move_torpedoes(game: Nest) -> tuple[Nest, Tensor]:
    """Returns the games with the enemies' shots one cell further, and whether one met the submarine `[B]`."""
    before = game["torpedoes"]
    left = tf.pad(before[:, 0, :, 1:], [[0, 0], [0, 0], [0, 1]])
    right = tf.pad(before[:, 1, :, :-1], [[0, 0], [0, 0], [1, 0]])
    after = tf.stack([left, right], axis=1)
    met = (before | after) & cell(game["x"], game["y"])[:, None]
    return {**game, "torpedoes": after}, tf.reduce_any(met, axis=[1, 2, 3])


def _breathe(game: Nest) -> tuple[Nest, Tensor, Tensor]:
    """Returns the games with oxygen used, or filled up where the submarine has just come up; the reward for that; the ends."""
    oxygen, divers, dived = game["oxygen"], game["divers"], game["y"] > 0
    comes_up = ~dived & ~game["up"]
    surfaces = comes_up & tf.not_equal(divers, 0)
    full = surfaces & tf.equal(divers, SEATS)
    earned = tf.where(full, tf.math.floordiv(oxygen * SIDE, OXYGEN), 0)
    ended = (oxygen <= 0) | (comes_up & tf.equal(divers, 0))
    after = {
        **_ramp(game, surfaces),
        "oxygen": either(surfaces, OXYGEN, tf.where(dived, oxygen - 1, oxygen)),
        "divers": tf.where(surfaces, either(full, 0, divers) - 1, divers),  # a full boat has -1 then, as the package's
        "up": ~dived & (game["up"] | surfaces),
    }
    return after, earned, ended


def _ramp(game: Nest, surfaces: Tensor) -> Nest:
    """Returns the games with shorter periods where the submarine has come up `[B]`."""
    spawn, move, ramps = game["spawn_period"], game["move_period"], game["ramps"]
    due = surfaces & ((spawn > 1) | (move > SHORTEST_MOVE))
    faster = due & (move > SHORTEST_MOVE) & tf.equal(ramps % 2, 1)
    return {
        **game,
        "spawn_period": tf.where(due & (spawn > 1), spawn - 1, spawn),
        "move_period": tf.where(faster, move - 1, move),
        "ramps": tf.where(due, ramps + 1, ramps),
    }
