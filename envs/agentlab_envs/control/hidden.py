"""Control problems of which a part of the observation is hidden: an agent needs a memory to act well in them."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, EnvironmentSpec, array_of
from agentlab.types import Nest, Tensor
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.control.pendulum import Pendulum


class HiddenElements(DeviceEnvironment):
    """Hides elements of an observation; the rest is the environment's that stands after this one among a class's bases.

    Class attributes, which a class sets:
        visible: places of the elements that are shown, in order.
        suffix: of the environment's name.
    """

    visible: tuple[int, ...]
    suffix: str

    @property
    def spec(self) -> EnvironmentSpec:
        whole = super().spec  # type: ignore[safe-super]
        space = array_of(whole.observation, "Hiding elements", whole.name)
        places = list(self.visible)
        minimum, maximum = (np.broadcast_to(bound, space.shape)[places].tolist() for bound in (space.minimum, space.maximum))
        visible = Array((len(places),), space.dtype, minimum, maximum)
        return attrs.evolve(whole, name=whole.name + self.suffix, observation=visible)

    def observe(self, state: Nest) -> Tensor:
        whole = super().observe(state)  # type: ignore[safe-super]
        return tf.gather(whole, self.visible, axis=-1)


@attrs.frozen
class CartPoleNoVelocity(HiddenElements, CartPole):
    """CartPole of which the observation is `[position (m), angle (rad)]`: the velocities are to be found from several steps.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.
    """

    visible = (0, 2)
    suffix = "-no-velocity"


@attrs.frozen
class PendulumNoVelocity(HiddenElements, Pendulum):
    """Pendulum of which the observation is `(cos angle, sin angle)`: the speed is to be found from several steps.

    Attributes:
        max_episode_steps: episodes are truncated after so many steps.
    """

    visible = (0, 1)
    suffix = "-no-velocity"
