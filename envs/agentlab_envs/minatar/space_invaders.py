"""MinAtar's Space Invaders: a cannon against a block of aliens that comes down."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.minatar.game import (
    CELL,
    FIRE,
    FLAG,
    LEFT,
    NONE,
    RIGHT,
    SIDE,
    MinAtarGame,
    cell,
    count_down,
    either,
    filled,
    moved,
)

BOTTOM = SIDE - 1
RELOAD = 5  # steps between two shots of the cannon
ALIEN_RELOAD = 10  # steps between two of the aliens'
MOVE_PERIOD, SHORTEST = 12, 6  # steps between two moves of the first block of aliens, and of the fastest one


@attrs.frozen
class MinAtarSpaceInvaders(MinAtarGame):
    """A cannon shoots aliens, for a reward of 1 each; the task ends when an alien or its shot meets the cannon, or one lands.

    The aliens move sideways, and down where one is at the edge; the fewer there are, the faster. When all are shot, there is
    another block of them, which moves faster. Episodes have no other end. Channels: cannon, aliens, aliens that move left,
    aliens that move right, the cannon's shots, the aliens' shots. The game is a mapping of the cannon's `column`; maps
    `[B, 10, 10]` of `aliens`, `shots` and `bombs`, the aliens' shots; whether the aliens move `right`; `period`, that of their
    moves in steps while they are many; and timers in steps.
    """

    name: ClassVar[str] = "minatar-space-invaders"
    channels: ClassVar[int] = 6
    useful: ClassVar[tuple[int, ...]] = (NONE, LEFT, RIGHT, FIRE)

    def begin(self, seed: Seed, batch: int) -> Nest:
        empty = tf.zeros([batch, SIDE, SIDE], tf.bool)
        return {
            "column": filled(batch, SIDE // 2),
            "aliens": empty | _block(),
            "shots": empty,
            "bombs": empty,
            "right": tf.zeros([batch], tf.bool),
            "period": filled(batch, MOVE_PERIOD),
            "move_timer": filled(batch, MOVE_PERIOD),
            "bomb_timer": filled(batch, ALIEN_RELOAD),
            "shot_timer": filled(batch, 0),
        }

    def advance(self, game: Nest, action: Tensor, drawn: Tensor) -> tuple[Nest, Tensor, Tensor]:
        game = _shoot({**game, "column": moved(game["column"], action, LEFT, RIGHT)}, action)
        met = _at_cannon(game, game["bombs"] | game["aliens"])
        game, landed = _move(game)
        ended = met | landed | _at_cannon(game, game["aliens"])
        game = _bomb(game)

        hits = game["aliens"] & game["shots"]
        game = {**game, "aliens": game["aliens"] & ~hits, "shots": game["shots"] & ~hits}
        reward = tf.reduce_sum(tf.cast(hits, tf.float32), axis=[1, 2])
        return _renew(game), reward, ended

    def game_ranges(self) -> Nest:
        timers = {"move_timer": MOVE_PERIOD, "bomb_timer": ALIEN_RELOAD, "shot_timer": RELOAD}
        return {
            "column": CELL,
            **dict.fromkeys(("aliens", "shots", "bombs", "right"), FLAG),
            "period": Range(SHORTEST, MOVE_PERIOD),
            **{name: Range(0, most) for name, most in timers.items()},
        }

    def board(self, game: Nest) -> list[Tensor]:
        aliens, right = game["aliens"], game["right"][:, None, None]
        return [_cannon(game), aliens, aliens & ~right, aliens & right, game["shots"], game["bombs"]]


def _block() -> Tensor:
    """Returns a block of aliens, `[1, 10, 10]` bool."""
    places = tf.range(SIDE)
    return (places < 4)[None, :, None] & ((places >= 2) & (places < 8))[None, None, :]


def _cannon(game: Nest) -> Tensor:
    """Returns where the cannon is, `[B, 10, 10]` bool."""
    return cell(game["column"], tf.zeros_like(game["column"]) + BOTTOM)


def _at_cannon(game: Nest, things: Tensor) -> Tensor:
    """Returns whether one of things `[B, 10, 10]` is where the cannon is, `[B]` bool."""
    return tf.reduce_any(things & _cannon(game), axis=[1, 2])


def _shoot(game: Nest, action: Tensor) -> Nest:
    """Returns the games with a new shot where the cannon fires and is loaded; all shots go up, all bombs down."""
    fires = tf.equal(action, FIRE) & tf.equal(game["shot_timer"], 0)
    shots = game["shots"] | (_cannon(game) & fires[:, None, None])
    return {
        **game,
        "shots": tf.pad(shots[:, 1:], [[0, 0], [0, 1], [0, 0]]),
        "bombs": tf.pad(game["bombs"][:, :-1], [[0, 0], [1, 0], [0, 0]]),
        "shot_timer": either(fires, RELOAD, game["shot_timer"]),
    }


def _move(game: Nest) -> tuple[Nest, Tensor]:
    """Returns the games with the aliens moved where it is time, and whether one came down from the bottom row `[B]`."""
    aliens, right, due = game["aliens"], game["right"], tf.equal(game["move_timer"], 0)
    at_left, at_right = (tf.reduce_any(aliens[:, :, column], axis=1) for column in (0, SIDE - 1))
    turns = due & tf.where(right, at_right, at_left)
    landed = turns & tf.reduce_any(aliens[:, BOTTOM], axis=1)

    sideways = tf.where(right[:, None, None], tf.roll(aliens, 1, axis=2), tf.roll(aliens, -1, axis=2))
    after = tf.where(turns[:, None, None], tf.roll(aliens, 1, axis=1), sideways)
    left = tf.minimum(tf.reduce_sum(tf.cast(aliens, tf.int64), axis=[1, 2]), game["period"])
    changes = {
        "aliens": tf.where(due[:, None, None], after, aliens),
        "right": tf.where(turns, ~right, right),
        "move_timer": tf.where(due, left, game["move_timer"]),
    }
    return {**game, **changes}, landed


def _bomb(game: Nest) -> Nest:
    """Returns the games with a new bomb where it is time: at the lowest alien of the column nearest to the cannon."""
    due = tf.equal(game["bomb_timer"], 0)
    columns = tf.range(SIDE, dtype=tf.int64)
    distance = 2 * tf.abs(columns - game["column"][:, None]) + tf.cast(columns > game["column"][:, None], tf.int64)
    occupied = tf.reduce_any(game["aliens"], axis=1)  # [B, 10]
    column = tf.argmin(tf.where(occupied, distance, 3 * SIDE), axis=1)  # of equally near ones, the left one

    in_column = tf.gather(game["aliens"], column, axis=2, batch_dims=1)  # [B, 10]
    row = tf.reduce_max(tf.where(in_column, columns, -1), axis=1)
    bombs = game["bombs"] | (cell(column, row) & due[:, None, None])
    return {**game, "bombs": bombs, "bomb_timer": either(due, ALIEN_RELOAD, game["bomb_timer"])}


def _renew(game: Nest) -> Nest:
    """Returns the games with their timers counted down, and another block of aliens where all are shot."""
    cleared = ~tf.reduce_any(game["aliens"], axis=[1, 2])
    return {
        **game,
        "aliens": game["aliens"] | (_block() & cleared[:, None, None]),
        "period": tf.where(cleared, tf.maximum(game["period"] - 1, SHORTEST), game["period"]),
        "move_timer": game["move_timer"] - 1,
        "bomb_timer": game["bomb_timer"] - 1,
        "shot_timer": count_down(game["shot_timer"]),
    }
