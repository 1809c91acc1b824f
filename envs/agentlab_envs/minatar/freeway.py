"""MinAtar's Freeway: a chicken crosses eight lanes of cars, again and again."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.minatar.game import CELL, DOWN, NONE, SIDE, UP, MinAtarGame, cell, choose, count_down, either, filled, moved

LANES = SIDE - 2  # each with a car
COLUMN = 4  # of the chicken
BOTTOM = SIDE - 1
MOVE_PERIOD = 3  # steps between two of the chicken's
SLOWEST = 5  # steps between two moves of the slowest car


@attrs.frozen
class MinAtarFreeway(MinAtarGame):
    """A chicken earns 1 for reaching the top; then, or when a car hits it, it starts at the bottom again.

    Each time it reaches the top, the cars get other speeds and directions. The task has no end; episodes are truncated after
    2,501 steps, where the package's end. Channels: chicken, cars, and the trails of cars that move every step, every other
    step, ..., every fifth step. The game is a mapping of the chicken's row `y`, the steps until it may move, `timer`, and of
    the cars `[B, 8]`: `column`; `speed`, the steps between two moves, negative for a car that moves left; `wait`, the steps
    until the next.
    """

    name: ClassVar[str] = "minatar-freeway"
    channels: ClassVar[int] = 2 + SLOWEST
    useful: ClassVar[tuple[int, ...]] = (NONE, UP, DOWN)
    draws: ClassVar[int] = 2 * LANES  # speeds and directions
    max_episode_steps: ClassVar[int | None] = 2_501

    def begin(self, seed: Seed, batch: int) -> Nest:
        speed = _speeds(seeds.uniform(seed, [batch, self.draws]))
        cars = {"column": tf.zeros_like(speed), "speed": speed, "wait": tf.abs(speed)}
        return {"y": filled(batch, BOTTOM), "timer": filled(batch, MOVE_PERIOD), **cars}

    def advance(self, game: Nest, action: Tensor, drawn: Tensor) -> tuple[Nest, Tensor, Tensor]:
        # [B] the chicken
        may_move = tf.equal(game["timer"], 0)
        walks = may_move & (tf.equal(action, UP) | tf.equal(action, DOWN))
        y = tf.where(walks, moved(game["y"], action, UP, DOWN), game["y"])
        arrived = tf.equal(y, 0)
        y = either(arrived, BOTTOM, y)

        # [B, 8] the cars
        speed = tf.where(arrived[:, None], _speeds(drawn), game["speed"])
        wait = tf.where(arrived[:, None], tf.abs(speed), game["wait"])
        due = tf.equal(wait, 0)
        column = tf.where(due, (game["column"] + tf.sign(speed)) % SIDE, game["column"])
        beside = tf.equal(tf.range(1, LANES + 1, dtype=tf.int64), y[:, None])
        hit = tf.reduce_any(beside & (tf.equal(game["column"], COLUMN) | tf.equal(column, COLUMN)), axis=1)

        # A car's period is its speed; the chicken rests after each step.
        cars = {"column": column, "speed": speed, "wait": tf.where(due, tf.abs(speed), wait - 1)}
        timer = count_down(either(walks, MOVE_PERIOD, game["timer"]))
        after = {"y": either(hit, BOTTOM, y), "timer": timer, **cars}
        return after, tf.cast(arrived, tf.float32), tf.zeros_like(arrived)

    def game_ranges(self) -> Nest:
        cars = {"column": CELL, "speed": Range(-SLOWEST, SLOWEST), "wait": Range(0, SLOWEST)}
        return {"y": CELL, "timer": Range(0, MOVE_PERIOD), **cars}

    def board(self, game: Nest) -> list[Tensor]:
        speed = game["speed"]
        cars = tf.one_hot(game["column"], SIDE, True, False)  # [B, 8, 10]
        trails = tf.one_hot((game["column"] - tf.sign(speed)) % SIDE, SIDE, True, False)
        by_speed = [trails & tf.equal(tf.abs(speed), steps)[..., None] for steps in range(1, SLOWEST + 1)]
        chicken = cell(tf.zeros_like(game["y"]) + COLUMN, game["y"])
        return [chicken, *(tf.pad(lanes, [[0, 0], [1, 1], [0, 0]]) for lanes in (cars, *by_speed))]


def _speeds(drawn: Tensor) -> Tensor:
    """Returns the speeds of cars `[B, 8]`, from -5 to 5 without 0, for numbers drawn from [0, 1) `[B, 16]`."""
    sign = either(drawn[:, LANES:] < 1 / 2, -1, 1)
    return sign * (1 + choose(drawn[:, :LANES], SLOWEST))
