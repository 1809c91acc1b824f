"""What all games of MinAtar share: sticky actions, minimal sets of actions, and boards of ten by ten."""

from __future__ import annotations

import abc
import colorsys
from typing import ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.settings import LIVE
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor

SIDE = 10  # cells
NONE, LEFT, UP, RIGHT, DOWN, FIRE = range(6)  # the actions of every game
CELL, FLAG = Range(0, SIDE - 1), Range(0, 1)


@attrs.frozen
class MinAtarGame(DeviceEnvironment):
    """A game on a grid of ten by ten; the observation is `[10, 10, C]` uint8, 0 or 1, a channel for each kind of thing.

    The state is a mapping of `action`, the last one, `[B]` int64, and `game`, the game's own mapping.

    Attributes:
        sticky: probability that the last action is taken again instead of the new one, also across episodes.
        minimal: actions are those that have an effect in this game; else the six of every MinAtar game.

    Source: Young and Tian (2019), arXiv:1903.03176, version 1.0.15 of their package, step for step.
    """

    sticky: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0), attrs.validators.le(1)], metadata={LIVE: True})
    minimal: bool = True

    name: ClassVar[str]
    channels: ClassVar[int]
    useful: ClassVar[tuple[int, ...]]  # actions of the minimal set
    draws: ClassVar[int] = 0  # random numbers that a step takes
    max_episode_steps: ClassVar[int | None] = None

    @abc.abstractmethod
    def begin(self, seed: Seed, batch: int) -> Nest:
        """Returns `batch` new games."""

    @abc.abstractmethod
    def advance(self, game: Nest, action: Tensor, drawn: Tensor) -> tuple[Nest, Tensor, Tensor]:
        """Returns the games after a step, the rewards `[B]` float32 and whether the task ended `[B]` bool.

        Args:
            game: of B rows.
            action: `[B]` int64, of the six.
            drawn: `[B, draws]` float32 from [0, 1).
        """

    @abc.abstractmethod
    def board(self, game: Nest) -> list[Tensor]:
        """Returns the channels of the observation, each `[B, 10, 10]` bool."""

    @abc.abstractmethod
    def game_ranges(self) -> Nest:
        """Returns a structure like a game, of the range of each tensor's numbers."""

    @property
    def spec(self) -> EnvironmentSpec:
        grid = Array((SIDE, SIDE, self.channels), "uint8", minimum=0, maximum=1)
        actions = Discrete(len(self.useful) if self.minimal else FIRE + 1)
        return EnvironmentSpec(self.name, grid, actions, self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        return {"action": tf.fill([batch], tf.constant(NONE, tf.int64)), "game": self.begin(seed, batch)}

    def restart(self, state: Nest, seed: Seed) -> Nest:
        return {"action": state["action"], "game": self.begin(seed, state["action"].shape[0])}

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        chosen = tf.gather(tf.constant(self.useful, tf.int64), action) if self.minimal else action
        rows = chosen.shape[0]
        sticks = seeds.uniform(seed, [rows]) < self.sticky
        taken = tf.where(sticks, state["action"], chosen)

        drawn = seeds.uniform(seeds.child(seed, "game"), [rows, self.draws]) if self.draws else tf.zeros([rows, 0])
        game, reward, terminated = self.advance(state["game"], taken, drawn)
        return {"action": taken, "game": game}, reward, terminated, ()

    def state_ranges(self) -> Nest:
        return {"action": Range(NONE, FIRE), "game": self.game_ranges()}

    def observe(self, state: Nest) -> Tensor:
        return tf.cast(tf.stack(self.board(state["game"]), axis=-1), tf.uint8)

    def picture(self, state: Nest) -> np.ndarray:
        channels = self.observe(state)[0].numpy()  # [10, 10, C]

        # Of things in one cell, the last channel's is seen.
        hues = np.arange(self.channels) / self.channels
        colours = np.array([colorsys.hsv_to_rgb(hue, 0.8, 1.0) for hue in hues]) * 255
        top = self.channels - 1 - np.argmax(channels[..., ::-1], axis=-1)
        return np.where(channels.any(axis=-1, keepdims=True), colours[top], 0).astype(np.uint8)


def filled(batch: int, number: int) -> Tensor:
    """Returns `[batch]` int64."""
    return tf.fill([batch], tf.constant(number, tf.int64))


def moved(place: Tensor, action: Tensor, back: int, forth: int, lowest: int = 0, highest: int = SIDE - 1) -> Tensor:
    """Returns places `[B]` moved by one cell where the action says so, within limits."""
    step = tf.cast(tf.equal(action, forth), tf.int64) - tf.cast(tf.equal(action, back), tf.int64)
    return tf.clip_by_value(place + step, lowest, highest)


def cell(x: Tensor, y: Tensor) -> Tensor:
    """Returns `[..., 10, 10]` bool, True in row y and column x; nowhere where one of them is off the board."""
    return tf.one_hot(y, SIDE, True, False)[..., :, None] & tf.one_hot(x, SIDE, True, False)[..., None, :]


def cells(x: Tensor, y: Tensor, visible: Tensor) -> Tensor:
    """Returns `[B, 10, 10]` bool, True where one of N things `[B, N]` that are `visible` is; none of those off the board."""
    rows = tf.one_hot(y, SIDE) * tf.cast(visible, tf.float32)[..., None]  # [B, N, 10]
    return tf.matmul(rows, tf.one_hot(x, SIDE), transpose_a=True) > 0.0


def direction(right: Tensor) -> Tensor:
    """Returns 1 for things that move right and -1 for others, int64."""
    return either(right, 1, -1)


def either(condition: Tensor, chosen: Tensor | int, other: Tensor | int) -> Tensor:
    """Returns `tf.where` of whole numbers as int64; they may be Python's."""
    return tf.where(condition, tf.cast(chosen, tf.int64), tf.cast(other, tf.int64))


def choose(drawn: Tensor, count: Tensor | int) -> Tensor:
    """Returns whole numbers from 0 to `count - 1`, int64, for numbers drawn from [0, 1)."""
    return tf.cast(drawn * tf.cast(count, tf.float32), tf.int64)


def count_down(timer: Tensor) -> Tensor:
    """Returns timers counted down by one, to at least 0."""
    return tf.maximum(timer - 1, 0)
