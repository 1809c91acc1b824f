"""Pendulum as pure TensorFlow functions: Gymnasium's Pendulum-v1, number for number."""

from __future__ import annotations

import math

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, EnvironmentSpec
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

    Attributes:
        max_episode_steps: after which an episode is truncated.
    """

    max_episode_steps: int = attrs.field(default=200, validator=attrs.validators.ge(1))

    @property
    def spec(self) -> EnvironmentSpec:
        limits = (1.0, 1.0, MAX_SPEED)
        observation = Array((3,), minimum=[-limit for limit in limits], maximum=limits)
        torque = Array((1,), minimum=-MAX_TORQUE, maximum=MAX_TORQUE)
        return EnvironmentSpec("pendulum", observation, torque, self.max_episode_steps)

    def initial(self, seed: Seed, batch: int) -> Nest:
        angle = seeds.uniform(seed, [batch], -math.pi, math.pi)
        speed = seeds.uniform(seeds.child(seed, "speed"), [batch], -1.0, 1.0)
        return tf.stack([angle, speed], axis=1)  # [B, 2]

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        angle, speed = tf.unstack(state, axis=1)  # [B] rad, 0 upright; [B] rad/s
        torque = tf.clip_by_value(action[:, 0], -MAX_TORQUE, MAX_TORQUE)
        from_upright = tf.math.floormod(angle + math.pi, 2.0 * math.pi) - math.pi
        cost = tf.square(from_upright) + 0.1 * tf.square(speed) + 0.001 * tf.square(torque)

        pull = 3.0 * GRAVITY / (2.0 * LENGTH) * tf.sin(angle) + 3.0 / (MASS * LENGTH**2) * torque  # rad/s2
        speed = tf.clip_by_value(speed + pull * TIME_STEP, -MAX_SPEED, MAX_SPEED)
        angle = angle + speed * TIME_STEP
        return tf.stack([angle, speed], axis=1), -cost, tf.zeros_like(cost, tf.bool), ()

    def observe(self, state: Nest) -> Tensor:
        angle, speed = tf.unstack(state, axis=1)
        return tf.stack([tf.cos(angle), tf.sin(angle), speed], axis=1)
