"""CartPole as pure TensorFlow functions: Gymnasium's CartPole-v1, number for number."""

from __future__ import annotations

import math

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.system.ranges import FINITE
from agentlab.types import Nest, Seed, Tensor

GRAVITY = 9.8  # m/s^2
CART_MASS = 1.0  # kg
POLE_MASS = 0.1  # kg
HALF_POLE_LENGTH = 0.5  # m
FORCE = 10.0  # N
TIME_STEP = 0.02  # s
POSITION_LIMIT = 2.4  # m
ANGLE_LIMIT = 12 * 2 * math.pi / 360  # rad
INITIAL_RANGE = 0.05
TOTAL_MASS = CART_MASS + POLE_MASS
POLE_MOMENT = POLE_MASS * HALF_POLE_LENGTH


@attrs.frozen
class CartPole(DeviceEnvironment):
    """A pole on a cart, pushed left (0) or right (1); reward 1 for every step until it falls or the cart leaves the track.

    The observation is `[position (m), velocity (m/s), angle (rad), angular velocity (rad/s)]`, float32. The state is the same
    in float64, as Gymnasium's is, so that the two stay together over whole episodes.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.

    Source: Barto, Sutton and Anderson (1983), doi:10.1109/TSMC.1983.6313077; constants and Euler step as in Gymnasium.
    """

    max_episode_steps: int = attrs.field(default=500, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        return EnvironmentSpec("cartpole", Array((4,)), Discrete(2), self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        return seeds.uniform(seed, [batch, 4], -INITIAL_RANGE, INITIAL_RANGE, tf.float64)

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        # [B] float64: metres and radians, and their rates per second.
        position, velocity, angle, angular_velocity = tf.unstack(state, axis=-1)
        force = tf.where(tf.equal(action, 1), tf.constant(FORCE, tf.float64), tf.constant(-FORCE, tf.float64))
        cosine, sine = tf.cos(angle), tf.sin(angle)

        # Angular acceleration of the pole and acceleration of the cart, without friction.
        pushed = (force + POLE_MOMENT * tf.square(angular_velocity) * sine) / TOTAL_MASS
        angular_acceleration = (GRAVITY * sine - cosine * pushed) / (
            HALF_POLE_LENGTH * (4.0 / 3.0 - POLE_MASS * tf.square(cosine) / TOTAL_MASS)
        )
        acceleration = pushed - POLE_MOMENT * angular_acceleration * cosine / TOTAL_MASS

        # Positions by the old velocities, as Gymnasium's Euler step has them.
        position = position + TIME_STEP * velocity
        velocity = velocity + TIME_STEP * acceleration
        angle = angle + TIME_STEP * angular_velocity
        angular_velocity = angular_velocity + TIME_STEP * angular_acceleration

        # Shapes: state [B, 4], reward [B] float32, terminated [B] bool.
        terminated = (tf.abs(position) > POSITION_LIMIT) | (tf.abs(angle) > ANGLE_LIMIT)
        state = tf.stack([position, velocity, angle, angular_velocity], axis=-1)
        return state, tf.ones_like(position, tf.float32), terminated, ()

    def state_ranges(self) -> Nest:
        return FINITE

    def observe(self, state: Nest) -> Nest:
        return tf.cast(state, tf.float32)
