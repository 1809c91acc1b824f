"""Mountain Car as pure TensorFlow functions: Gymnasium's MountainCar-v0 and MountainCarContinuous-v0, number for number."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import FINITE
from agentlab.types import Nest, Seed, Tensor

MIN_POSITION, MAX_POSITION = -1.2, 0.6
MAX_SPEED = 0.07  # per step
GRAVITY = 0.0025  # acceleration per step, times the cosine of three times the position
INITIAL_POSITIONS = (-0.6, -0.4)
POWER, GOAL = 0.001, 0.5  # of the car with three actions
CONTINUOUS_POWER, CONTINUOUS_GOAL = 0.0015, 0.45
GOAL_REWARD = 100.0
FORCE_COST = 0.1  # times the squared force

OBSERVATION = Array((2,), minimum=(MIN_POSITION, -MAX_SPEED), maximum=(MAX_POSITION, MAX_SPEED))


@attrs.frozen
class MountainCar(DeviceEnvironment):
    """A car in a valley, too weak to climb out at once, pushed left (0), not at all (1) or right (2); each step costs 1.

    The task ends when the car reaches the position 0.5 on the right. The observation is `[position, velocity]`, float32; the
    state is the same in float64, as Gymnasium's is.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.

    Source: Moore (1990), "Efficient memory-based learning for robot control"; constants as in Gymnasium.
    """

    max_episode_steps: int = attrs.field(default=200, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        return EnvironmentSpec("mountain-car", OBSERVATION, Discrete(3), self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        return _at_rest(seed, batch, tf.float64)

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        position, _ = tf.unstack(state, axis=1)
        push = tf.cast(action - 1, tf.float64) * POWER
        state, terminated = _moved(state, push - GRAVITY * tf.cos(3.0 * position), GOAL)
        return state, -tf.ones_like(terminated, tf.float32), terminated, ()

    def state_ranges(self) -> Nest:
        return FINITE

    def observe(self, state: Nest) -> Tensor:
        return tf.cast(state, tf.float32)


@attrs.frozen
class MountainCarContinuous(DeviceEnvironment):
    """`MountainCar`, pushed by a force from -1 to 1; the goal is worth 100, a step costs 0.1 times the force squared.

    The task ends when the car reaches the position 0.45 on the right. The observation is `[position, velocity]`, float32, and
    so is the state: Gymnasium rounds its own to float32 at every step.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.

    Source: Moore (1990), "Efficient memory-based learning for robot control"; constants as in Gymnasium.
    """

    max_episode_steps: int = attrs.field(default=999, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        force = Array((1,), minimum=-1.0, maximum=1.0)
        return EnvironmentSpec("mountain-car-continuous", OBSERVATION, force, self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        return _at_rest(seed, batch, tf.float32)

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        position, _ = tf.unstack(state, axis=1)
        push = tf.clip_by_value(action[:, 0], -1.0, 1.0) * CONTINUOUS_POWER
        slope = GRAVITY * tf.cos(tf.cast(3.0 * position, tf.float64))
        state, terminated = _moved(state, push - tf.cast(slope, tf.float32), CONTINUOUS_GOAL)

        cost = FORCE_COST * tf.square(tf.cast(action[:, 0], tf.float64))
        reward = tf.where(terminated, tf.constant(GOAL_REWARD, tf.float64), tf.constant(0.0, tf.float64)) - cost
        return state, tf.cast(reward, tf.float32), terminated, ()

    def state_ranges(self) -> Nest:
        return FINITE

    def observe(self, state: Nest) -> Tensor:
        return tf.identity(state)


def _at_rest(seed: Seed, batch: int, dtype: tf.DType) -> Tensor:
    """Returns the states `[batch, 2]` of cars near the bottom of the valley."""
    position = tf.cast(seeds.uniform(seed, [batch], *INITIAL_POSITIONS, tf.float64), dtype)
    return tf.stack([position, tf.zeros_like(position)], axis=1)


def _moved(state: Tensor, acceleration: Tensor, goal: float) -> tuple[Tensor, Tensor]:
    """Returns the states `[B, 2]` one step later, and whether they are at the goal `[B]`."""
    position, velocity = tf.unstack(state, axis=1)
    velocity = tf.clip_by_value(velocity + acceleration, -MAX_SPEED, MAX_SPEED)
    position = tf.clip_by_value(position + velocity, MIN_POSITION, MAX_POSITION)
    stopped = (position <= MIN_POSITION) & (velocity < 0.0)  # by the wall on the left
    velocity = tf.where(stopped, tf.zeros_like(velocity), velocity)
    return tf.stack([position, velocity], axis=1), (position >= goal) & (velocity >= 0.0)
