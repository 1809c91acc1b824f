"""MinAtar's Breakout: a ball, a paddle and three rows of bricks."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.minatar.game import CELL, FLAG, LEFT, NONE, RIGHT, SIDE, MinAtarGame, cell, filled, moved

START = 4  # the paddle's first column
# Directions: 0 up left, 1 up right, 2 down right, 3 down left.
STEP_X, STEP_Y = (-1, 1, 1, -1), (-1, -1, 1, 1)
OFF_A_SIDE, OFF_TOP_OR_BOTTOM, BACK = (1, 0, 3, 2), (3, 2, 1, 0), (2, 3, 0, 1)


@attrs.frozen
class MinAtarBreakout(MinAtarGame):
    """A paddle keeps a ball in play; each brick that the ball breaks is worth 1, and losing the ball ends the task.

    When all bricks are broken there are new ones as soon as the ball comes down. Episodes have no other end. Channels: paddle,
    ball, its trail, bricks. The game is a mapping of the ball's column `ball_x` and row `ball_y`, its `direction`, 0 to 3,
    where it was a step ago, `last_x` and `last_y`, the column of the `paddle`, `bricks` `[B, 10, 10]`, and whether the last
    step `struck` a brick: another one is not broken right after.
    """

    name: ClassVar[str] = "minatar-breakout"
    channels: ClassVar[int] = 4
    useful: ClassVar[tuple[int, ...]] = (NONE, LEFT, RIGHT)

    def begin(self, seed: Seed, batch: int) -> Nest:
        side = seeds.integers(seed, [batch], 2)
        column, row = side * (SIDE - 1), filled(batch, 3)
        return {
            "ball_x": column,
            "ball_y": row,
            "direction": side + 2,  # down into the field
            "last_x": column,
            "last_y": row,
            "paddle": filled(batch, START),
            "bricks": tf.tile(_wall(), [batch, 1, 1]),
            "struck": tf.zeros([batch], tf.bool),
        }

    def advance(self, game: Nest, action: Tensor, drawn: Tensor) -> tuple[Nest, Tensor, Tensor]:
        paddle = moved(game["paddle"], action, LEFT, RIGHT)
        x, y, direction = _flown(game)

        # [B] what the ball meets
        at_top = y < 0
        y = tf.maximum(y, 0)
        at_brick = ~at_top & tf.reduce_any(game["bricks"] & cell(x, y), axis=[1, 2])
        breaks = at_brick & ~game["struck"]
        at_bottom = ~at_top & ~at_brick & tf.equal(y, SIDE - 1)
        above, beside = tf.equal(game["ball_x"], paddle), tf.equal(x, paddle)
        caught = at_bottom & (above | beside)

        # Off the top, a brick or the paddle from above; straight back from the paddle's side.
        reflected = at_top | breaks | (at_bottom & above)
        back = tf.where(caught, _entry(BACK, direction), direction)
        after = {
            "ball_x": x,
            "ball_y": tf.where(breaks | caught, game["ball_y"], y),
            "direction": tf.where(reflected, _entry(OFF_TOP_OR_BOTTOM, direction), back),
            "last_x": game["ball_x"],
            "last_y": game["ball_y"],
            "paddle": paddle,
            "bricks": _rebuilt(game["bricks"] & ~(cell(x, y) & breaks[:, None, None]), at_bottom),
            "struck": at_brick,  # one that is not broken, being struck right after another, counts as well
        }
        return after, tf.cast(breaks, tf.float32), at_bottom & ~caught

    def game_ranges(self) -> Nest:
        cells = dict.fromkeys(("ball_x", "ball_y", "last_x", "last_y", "paddle"), CELL)
        return {**cells, "direction": Range(0, len(STEP_X) - 1), "bricks": FLAG, "struck": FLAG}

    def board(self, game: Nest) -> list[Tensor]:
        paddle = cell(game["paddle"], tf.fill(tf.shape(game["paddle"]), tf.constant(SIDE - 1, tf.int64)))
        return [paddle, cell(game["ball_x"], game["ball_y"]), cell(game["last_x"], game["last_y"]), game["bricks"]]


def _flown(game: Nest) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the ball's column and row one step later, and its direction, reflected off the sides; the row may be -1."""
    direction = game["direction"]
    x, y = game["ball_x"] + _entry(STEP_X, direction), game["ball_y"] + _entry(STEP_Y, direction)
    direction = tf.where((x < 0) | (x >= SIDE), _entry(OFF_A_SIDE, direction), direction)
    return tf.clip_by_value(x, 0, SIDE - 1), y, direction


def _rebuilt(bricks: Tensor, at_bottom: Tensor) -> Tensor:
    """Returns the bricks, or a whole new wall where none are left and the ball is at the bottom."""
    cleared = at_bottom & ~tf.reduce_any(bricks, axis=[1, 2])
    return tf.where(cleared[:, None, None], _wall(), bricks)


def _entry(table: tuple[int, ...], direction: Tensor) -> Tensor:
    return tf.gather(tf.constant(table, tf.int64), direction)


def _wall() -> Tensor:
    """Returns the rows of bricks, `[1, 10, 10]` bool."""
    rows = tf.range(SIDE)
    return tf.tile(((rows >= 1) & (rows <= 3))[None, :, None], [1, 1, SIDE])
