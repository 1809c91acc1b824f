"""MinAtar's Asterix: gather treasure, and keep out of the way of enemies."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.system.ranges import COUNT, Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.minatar.game import (
    CELL,
    DOWN,
    FLAG,
    LEFT,
    NONE,
    RIGHT,
    SIDE,
    UP,
    MinAtarGame,
    cell,
    choose,
    direction,
    either,
    filled,
    moved,
)

LANES = SIDE - 2  # rows in which things move, one in each
SPAWN_PERIOD, MOVE_PERIOD = 10, 5  # steps between two things that appear, and between two of their moves, at first
RAMP_PERIOD = 100  # steps until both become shorter


@attrs.frozen
class MinAtarAsterix(MinAtarGame):
    """A player moves in four directions; treasure is worth 1, an enemy ends the task. Both cross the field in lanes.

    Things appear and move faster as time passes. Episodes have no other end. Channels: player, enemies, trails, treasure. The
    game is a mapping of the player's column and row, `x` and `y`; of the lanes `[B, 8]`, whether there is a thing, `there`,
    its `column`, whether it moves `right` and is `treasure`; and of periods and timers in steps.
    """

    name: ClassVar[str] = "minatar-asterix"
    channels: ClassVar[int] = 4
    useful: ClassVar[tuple[int, ...]] = (NONE, LEFT, UP, RIGHT, DOWN)
    draws: ClassVar[int] = 3  # side, kind and lane of what appears

    def begin(self, seed: Seed, batch: int) -> Nest:
        empty = tf.zeros([batch, LANES], tf.bool)
        return {
            "x": filled(batch, SIDE // 2),
            "y": filled(batch, SIDE // 2),
            "there": empty,
            "column": tf.zeros([batch, LANES], tf.int64),
            "right": empty,
            "treasure": empty,
            "spawn_period": filled(batch, SPAWN_PERIOD),
            "spawn_timer": filled(batch, SPAWN_PERIOD),
            "move_period": filled(batch, MOVE_PERIOD),
            "move_timer": filled(batch, MOVE_PERIOD),
            "ramp_timer": filled(batch, RAMP_PERIOD),
            "ramps": filled(batch, 0),
        }

    def advance(self, game: Nest, action: Tensor, drawn: Tensor) -> tuple[Nest, Tensor, Tensor]:
        game = _spawn(game, drawn)
        x, y = moved(game["x"], action, LEFT, RIGHT), moved(game["y"], action, UP, DOWN, 1, LANES)
        game, before, ended = _meet({**game, "x": x, "y": y})
        game, after, ended_moving = _meet(_move(game))
        return _ramp(game), tf.cast(before | after, tf.float32), ended | ended_moving

    def game_ranges(self) -> Nest:
        flags = dict.fromkeys(("there", "right", "treasure"), FLAG)
        periods = {"spawn_period": Range(1, SPAWN_PERIOD), "move_period": Range(1, MOVE_PERIOD), "ramps": COUNT}
        timers = {"spawn_timer": Range(0, SPAWN_PERIOD), "move_timer": Range(0, MOVE_PERIOD)}
        return {**dict.fromkeys(("x", "y", "column"), CELL), **flags, **periods, **timers, "ramp_timer": Range(-1, RAMP_PERIOD)}

    def board(self, game: Nest) -> list[Tensor]:
        there, treasure = game["there"], game["treasure"]

        # One cell behind a thing tells where it is going.
        behind = game["column"] - direction(game["right"])
        trails = _lanes(behind, there)
        return [
            cell(game["x"], game["y"]),
            _lanes(game["column"], there & ~treasure),
            trails,
            _lanes(game["column"], there & treasure),
        ]


def _lanes(column: Tensor, there: Tensor) -> Tensor:
    """Returns the board `[B, 10, 10]` bool of things in lanes `[B, 8]`."""
    lanes = tf.one_hot(column, SIDE, True, False) & there[..., None]
    return tf.pad(lanes, [[0, 0], [1, 1], [0, 0]])


def _spawn(game: Nest, drawn: Tensor) -> Nest:
    """Returns the games with a new thing at the side of a free lane, where it is time and there is one."""
    due = tf.equal(game["spawn_timer"], 0)
    right, treasure = drawn[:, 0] < 1 / 2, drawn[:, 1] < 1 / 3
    free = ~game["there"]
    number = tf.cumsum(tf.cast(free, tf.int64), axis=1)  # [B, 8] of the free lanes, from 1
    chosen = choose(drawn[:, 2], number[:, -1]) + 1
    new = free & tf.equal(number, chosen[:, None]) & due[:, None]

    # It enters from the side that it moves away from.
    side = either(right, 0, SIDE - 1)
    return {
        **game,
        "there": game["there"] | new,
        "column": tf.where(new, side[:, None], game["column"]),
        "right": tf.where(new, right[:, None], game["right"]),
        "treasure": tf.where(new, treasure[:, None], game["treasure"]),
        "spawn_timer": tf.where(due, game["spawn_period"], game["spawn_timer"]),
    }


def _meet(game: Nest) -> tuple[Nest, Tensor, Tensor]:
    """Returns the games without the treasure where the player is, whether there was some `[B]`, and whether an enemy was."""
    here = tf.equal(tf.range(1, LANES + 1, dtype=tf.int64), game["y"][:, None]) & tf.equal(game["column"], game["x"][:, None])
    here &= game["there"]
    taken = here & game["treasure"]
    ended = tf.reduce_any(here & ~game["treasure"], axis=1)
    return {**game, "there": game["there"] & ~taken}, tf.reduce_any(taken, axis=1), ended


def _move(game: Nest) -> Nest:
    """Returns the games with all things one cell further where it is time, without those that left the field."""
    due = tf.equal(game["move_timer"], 0)

    # One cell further, and gone where that is off the board.
    column = game["column"] + tf.where(due[:, None], direction(game["right"]), 0)
    there = game["there"] & (column >= 0) & (column < SIDE)
    return {
        **game,
        "there": there,
        "column": tf.where(there, column, 0),
        "move_timer": tf.where(due, game["move_period"], game["move_timer"]),
    }


def _ramp(game: Nest) -> Nest:
    """Returns the games with their timers counted down, and shorter periods where it is time."""
    spawn, move, timer, ramps = (game[name] for name in ("spawn_period", "move_period", "ramp_timer", "ramps"))

    # The game stops speeding up when both periods are as short as they get.
    ramping = (spawn > 1) | (move > 1)
    due = ramping & (timer < 0)
    moves_faster = due & (move > 1) & tf.equal(ramps % 2, 1)
    return {
        **game,
        "spawn_timer": game["spawn_timer"] - 1,
        "move_timer": game["move_timer"] - 1,
        "spawn_period": tf.where(due & (spawn > 1), spawn - 1, spawn),
        "move_period": tf.where(moves_faster, move - 1, move),
        "ramp_timer": either(due, RAMP_PERIOD, tf.where(ramping, timer - 1, timer)),
        "ramps": tf.where(due, ramps + 1, ramps),
    }
