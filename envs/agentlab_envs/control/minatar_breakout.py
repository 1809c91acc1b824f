"""MinAtar's Breakout as pure TensorFlow functions: a ball, a paddle and three rows of bricks on a grid of ten by ten."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import FINITE, Range
from agentlab.types import Nest, Seed, Tensor

SIDE = 10  # cells
START = 4  # the paddle's first column
ALL_ACTIONS = 6  # none, left, up, right, down, fire: those of every MinAtar game
LEFT, RIGHT = 1, 3
MINIMAL = (0, LEFT, RIGHT)  # those that mean something here
# Directions: 0 up left, 1 up right, 2 down right, 3 down left.
STEP_X, STEP_Y = (-1, 1, 1, -1), (-1, -1, 1, 1)
OFF_A_SIDE, OFF_TOP_OR_BOTTOM, BACK = (1, 0, 3, 2), (3, 2, 1, 0), (2, 3, 0, 1)


@attrs.frozen(eq=False)
class State:
    """B games; all but the bricks `[B]` int64 or bool.

    Attributes:
        ball_x: column of the ball.
        ball_y: its row, from the top.
        direction: in which it flies, 0 to 3.
        last_x: column of the ball one step ago, its trail.
        last_y: row of the ball one step ago.
        paddle: column of the paddle.
        bricks: `[B, 10, 10]` bool.
        struck: whether the last step broke a brick: another one is not broken right after.
        action: the last one, which may stick.
    """

    ball_x: Tensor
    ball_y: Tensor
    direction: Tensor
    last_x: Tensor
    last_y: Tensor
    paddle: Tensor
    bricks: Tensor
    struck: Tensor
    action: Tensor


@attrs.frozen
class MinAtarBreakout(DeviceEnvironment):
    """A paddle keeps a ball in play that breaks bricks, for a reward of 1 each; losing the ball ends the task.

    The observation is `[10, 10, 4]` uint8, 0 or 1: paddle, ball, its trail, bricks. When all bricks are broken there are new
    ones as soon as the ball comes down. Episodes have no other end.

    Attributes:
        sticky: probability that the last action is taken again instead of the new one, also across episodes.
        minimal: actions are none, left and right; else the six of every MinAtar game, of which three do nothing here.

    Source: Young and Tian (2019), arXiv:1903.03176, version 1.0.15 of their package, step for step.
    """

    sticky: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    minimal: bool = True

    @property
    def spec(self) -> EnvironmentSpec:
        space = Array((SIDE, SIDE, 4), "uint8", minimum=0, maximum=1)
        return EnvironmentSpec("minatar-breakout", space, Discrete(len(MINIMAL) if self.minimal else ALL_ACTIONS))

    def initial(self, seed: Seed, batch: int) -> State:
        # The ball starts at the left or the right wall, [B].
        side = seeds.integers(seed, [batch], 2)
        column, three, zero = side * (SIDE - 1), tf.fill([batch], tf.constant(3, tf.int64)), tf.zeros([batch], tf.int64)
        return State(
            ball_x=column,
            ball_y=three,
            direction=side + 2,  # down into the field
            last_x=column,
            last_y=three,
            paddle=zero + START,
            bricks=tf.tile(_wall(), [batch, 1, 1]),
            struck=tf.zeros([batch], tf.bool),
            action=zero,
        )

    def restart(self, state: State, seed: Seed) -> State:
        fresh = self.initial(seed, state.action.shape[0])
        return attrs.evolve(fresh, action=state.action)

    def transition(self, state: State, action: Tensor, seed: Seed) -> tuple[State, Tensor, Tensor, Tensor]:
        chosen = tf.gather(tf.constant(MINIMAL, tf.int64), action) if self.minimal else action
        sticks = seeds.uniform(seed, tf.shape(chosen)) < self.sticky
        state, reward, terminated = advance(state, tf.where(sticks, state.action, chosen))
        return state, reward, terminated, ()

    def state_ranges(self) -> State:
        cell, flag = Range(0, SIDE - 1), FINITE
        return State(
            ball_x=cell,
            ball_y=cell,
            direction=Range(0, len(STEP_X) - 1),
            last_x=cell,
            last_y=cell,
            paddle=cell,
            bricks=flag,
            struck=flag,
            action=Range(0, ALL_ACTIONS - 1),
        )

    def observe(self, state: State) -> Nest:
        paddle = _cell(state.paddle, tf.fill(tf.shape(state.paddle), tf.constant(SIDE - 1, tf.int64)))
        ball, trail = _cell(state.ball_x, state.ball_y), _cell(state.last_x, state.last_y)
        return tf.cast(tf.stack([paddle, ball, trail, state.bricks], axis=-1), tf.uint8)


def advance(state: State, action: Tensor) -> tuple[State, Tensor, Tensor]:
    """Returns the games after an action `[B]` of the six, the rewards `[B]` float32, and whether the ball was lost `[B]`."""
    # The paddle moves first, [B].
    move = tf.cast(tf.equal(action, RIGHT), tf.int64) - tf.cast(tf.equal(action, LEFT), tf.int64)
    paddle = tf.clip_by_value(state.paddle + move, 0, SIDE - 1)

    # Where the ball would go, turned round at the left and right walls.
    direction = state.direction
    x, y = state.ball_x + _entry(STEP_X, direction), state.ball_y + _entry(STEP_Y, direction)
    direction = tf.where((x < 0) | (x >= SIDE), _entry(OFF_A_SIDE, direction), direction)
    x = tf.clip_by_value(x, 0, SIDE - 1)

    # What it meets there: the top, a brick, the paddle or the floor, [B] bool.
    at_top = y < 0
    y = tf.maximum(y, 0)
    at_brick = ~at_top & tf.reduce_any(state.bricks & _cell(x, y), axis=[1, 2])
    breaks = at_brick & ~state.struck
    at_bottom = ~at_top & ~at_brick & tf.equal(y, SIDE - 1)
    above, beside = tf.equal(state.ball_x, paddle), tf.equal(x, paddle)
    caught = at_bottom & (above | beside)

    # [B, SIDE, SIDE] bricks; a new wall is built when the ball is next caught after the last one.
    bricks = state.bricks & ~(_cell(x, y) & breaks[:, None, None])
    cleared = at_bottom & ~tf.reduce_any(bricks, axis=[1, 2])
    bricks = tf.where(cleared[:, None, None], _wall(), bricks)

    # The direction after a bounce: off the top, a brick or the paddle from above, or straight back from the paddle's side.
    reflected = at_top | breaks | (at_bottom & above)
    direction = tf.where(
        reflected,
        _entry(OFF_TOP_OR_BOTTOM, direction),
        tf.where(caught, _entry(BACK, direction), direction),
    )
    after = State(
        ball_x=x,
        ball_y=tf.where(breaks | caught, state.ball_y, y),
        direction=direction,
        last_x=state.ball_x,
        last_y=state.ball_y,
        paddle=paddle,
        bricks=bricks,
        struck=at_brick,  # one that is not broken, being struck right after another, counts as well
        action=action,
    )
    return after, tf.cast(breaks, tf.float32), at_bottom & ~caught


def _entry(table: tuple[int, ...], direction: Tensor) -> Tensor:
    return tf.gather(tf.constant(table, tf.int64), direction)


def _cell(x: Tensor, y: Tensor) -> Tensor:
    """Returns `[B, 10, 10]` bool, True in row y and column x."""
    return tf.one_hot(y, SIDE, True, False)[:, :, None] & tf.one_hot(x, SIDE, True, False)[:, None, :]


def _wall() -> Tensor:
    """Returns the rows of bricks, `[1, 10, 10]` bool."""
    rows = tf.range(SIDE)
    return tf.tile(((rows >= 1) & (rows <= 3))[None, :, None], [1, 1, SIDE])
