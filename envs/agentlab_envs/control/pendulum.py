"""Pendulum as pure TensorFlow functions: Gymnasium's Pendulum-v1, number for number."""

from __future__ import annotations

import math

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, EnvironmentSpec
from agentlab.system.ranges import FINITE
from agentlab.types import Nest, Seed, Tensor

GRAVITY = 10.0  # m/s2
MASS = 1.0  # kg
LENGTH = 1.0  # m
TIME_STEP = 0.05  # s
MAX_SPEED = 8.0  # rad/s
MAX_TORQUE = 2.0  # N m


@attrs.frozen
class Pendulum(DeviceEnvironment):
    """A pendulum to swing up and hold: the observation is (cos angle, sin angle, speed), the action a torque in N m.

    The reward is minus the squared angle from upright, a tenth of the squared speed and a thousandth of the squared torque.
    The state is the angle (rad, 0 upright, any number of turns) and the speed (rad/s) in float64, as Gymnasium's is.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.
    """

    max_episode_steps: int = attrs.field(default=200, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        limits = (1.0, 1.0, MAX_SPEED)
        observation = Array((3,), minimum=[-limit for limit in limits], maximum=limits)
        torque = Array((1,), minimum=-MAX_TORQUE, maximum=MAX_TORQUE)
        return EnvironmentSpec("pendulum", observation, torque, self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        angle = seeds.uniform(seed, [batch], -math.pi, math.pi, tf.float64)
        speed = seeds.uniform(seeds.child(seed, "speed"), [batch], -1.0, 1.0, tf.float64)
        return tf.stack([angle, speed], axis=1)

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        angle, speed = tf.unstack(state, axis=1)  # [B] rad, 0 upright; [B] rad/s
        torque = tf.clip_by_value(action[:, 0], -MAX_TORQUE, MAX_TORQUE)  # [B] float32, in which its terms are rounded
        from_upright = tf.math.floormod(angle + math.pi, 2.0 * math.pi) - math.pi
        effort = tf.cast(0.001 * tf.square(torque), tf.float64)
        cost = tf.square(from_upright) + 0.1 * tf.square(speed) + effort

        push = tf.cast(3.0 / (MASS * LENGTH**2) * torque, tf.float64)
        acceleration = 3.0 * GRAVITY / (2.0 * LENGTH) * tf.sin(angle) + push  # rad/s2
        speed = tf.clip_by_value(speed + acceleration * TIME_STEP, -MAX_SPEED, MAX_SPEED)
        angle = angle + speed * TIME_STEP
        never = tf.zeros_like(cost, tf.bool)
        return tf.stack([angle, speed], axis=1), tf.cast(-cost, tf.float32), never, ()

    def state_ranges(self) -> Nest:
        return FINITE

    def observe(self, state: Nest) -> Tensor:
        angle, speed = tf.unstack(state, axis=1)
        return tf.cast(tf.stack([tf.cos(angle), tf.sin(angle), speed], axis=1), tf.float32)
