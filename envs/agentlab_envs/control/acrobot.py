"""Acrobot as pure TensorFlow functions: Gymnasium's Acrobot-v1, number for number."""

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
LINK_MASS = 1.0  # kg, of each of the two links
LINK_LENGTH = 1.0  # m
CENTRE = 0.5  # m, from a link's upper joint to its centre of mass
INERTIA = 1.0  # kg m^2
TIME_STEP = 0.2  # s
MAX_SPEEDS = (4 * math.pi, 9 * math.pi)  # rad/s, of the first and the second joint
HEIGHT = 1.0  # m, of the free end above the fixed joint
INITIAL_RANGE = 0.1
TORQUES = (-1.0, 0.0, 1.0)  # N m, by action


@attrs.frozen
class Acrobot(DeviceEnvironment):
    """Two links hang from a fixed joint; a torque on the joint between them swings the free end up to a height.

    The action is a torque of -1, 0 or 1 N m. Every step costs 1 until the free end is a link's length above the fixed joint;
    the step that brings it there costs nothing. The observation is the cosine and sine of the first link's angle from hanging
    down, the same of the second link's angle from the first, and both angular velocities (rad/s), float32. The state is the
    two angles (rad) and their velocities in float64, as Gymnasium's is.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.

    Source: Sutton (1996), "Generalization in reinforcement learning: successful examples using sparse coarse coding"; equations
    of motion as in Sutton and Barto's book, section 11.3 of its first edition; constants and Runge-Kutta step as in Gymnasium.
    """

    max_episode_steps: int = attrs.field(default=500, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        limits = (1.0, 1.0, 1.0, 1.0, *MAX_SPEEDS)
        observation = Array((6,), minimum=[-limit for limit in limits], maximum=limits)
        return EnvironmentSpec("acrobot", observation, Discrete(len(TORQUES)), self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        return tf.cast(seeds.uniform(seed, [batch, 4], -INITIAL_RANGE, INITIAL_RANGE), tf.float64)

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        torque = tf.gather(tf.constant(TORQUES, tf.float64), action)
        first, second, first_speed, second_speed = tf.unstack(_integrate(state, torque), axis=1)
        first, second = _wrapped(first), _wrapped(second)
        speeds = [tf.clip_by_value(first_speed, -MAX_SPEEDS[0], MAX_SPEEDS[0])]
        speeds += [tf.clip_by_value(second_speed, -MAX_SPEEDS[1], MAX_SPEEDS[1])]

        terminated = -tf.cos(first) - tf.cos(second + first) > HEIGHT
        reward = tf.where(terminated, 0.0, -1.0)
        return tf.stack([first, second, *speeds], axis=1), reward, terminated, ()

    def state_ranges(self) -> Nest:
        return FINITE

    def observe(self, state: Nest) -> Tensor:
        first, second, *speeds = tf.unstack(state, axis=1)
        entries = [tf.cos(first), tf.sin(first), tf.cos(second), tf.sin(second), *speeds]
        return tf.cast(tf.stack(entries, axis=1), tf.float32)


def _integrate(state: Tensor, torque: Tensor) -> Tensor:
    """Returns the states `[B, 4]` one time step later, by the classical Runge-Kutta method."""
    slope_1 = _derivative(state, torque)
    slope_2 = _derivative(state + TIME_STEP / 2 * slope_1, torque)
    slope_3 = _derivative(state + TIME_STEP / 2 * slope_2, torque)
    slope_4 = _derivative(state + TIME_STEP * slope_3, torque)
    return state + TIME_STEP / 6 * (slope_1 + 2 * slope_2 + 2 * slope_3 + slope_4)


def _derivative(state: Tensor, torque: Tensor) -> Tensor:
    """Returns the time derivatives of states `[B, 4]` under torques `[B]`."""
    first, second, first_speed, second_speed = tf.unstack(state, axis=1)
    cosine, sine = tf.cos(second), tf.sin(second)
    coupling = LINK_MASS * LINK_LENGTH * CENTRE

    # [B] entries of the mass matrix
    own = LINK_MASS * CENTRE**2 + INERTIA
    shared = LINK_MASS * CENTRE**2 + coupling * cosine + INERTIA
    whole = own + LINK_MASS * (LINK_LENGTH**2 + CENTRE**2) + 2 * coupling * cosine + INERTIA

    # [B] forces of gravity and of the other link's motion
    lower_weight = LINK_MASS * CENTRE * GRAVITY * tf.cos(first + second - math.pi / 2)
    upper_weight = LINK_MASS * (CENTRE + LINK_LENGTH) * GRAVITY * tf.cos(first - math.pi / 2)
    upper_force = upper_weight + lower_weight - coupling * sine * second_speed * (second_speed + 2 * first_speed)
    lower_force = lower_weight + coupling * sine * tf.square(first_speed)

    second_acceleration = (torque + shared / whole * upper_force - lower_force) / (own - tf.square(shared) / whole)
    first_acceleration = -(shared * second_acceleration + upper_force) / whole
    return tf.stack([first_speed, second_speed, first_acceleration, second_acceleration], axis=1)


def _wrapped(angle: Tensor) -> Tensor:
    """Returns angles wrapped to -pi to pi; a step turns a link by less than two full turns."""
    for _ in range(2):
        angle = tf.where(angle > math.pi, angle - 2 * math.pi, angle)
        angle = tf.where(angle < -math.pi, angle + 2 * math.pi, angle)
    return angle
