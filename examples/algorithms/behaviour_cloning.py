"""Behaviour cloning in one file: an environment shows what somebody else did, and a supervised trainer learns to do the same.

Every step shows a recorded observation; the right answer is the action that was taken. The clone is then judged in the real
environment. Run it with `agentlab run --plugin examples/algorithms/behaviour_cloning.py clone-cartpole`.
"""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Evaluation, Task, part
from agentlab.types import Nest, Seed, Tensor

STEPS = 5_000  # recorded


def recorded_steps(count: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Returns observations `[count, 4]` and actions `[count]` of somebody who balances CartPole: a rule by hand."""
    import gymnasium

    environment = gymnasium.make("CartPole-v1")
    observation, _ = environment.reset(seed=0)
    observations, actions = [], []
    for _ in range(count):
        position, velocity, angle, angular_velocity = observation
        action = int(angle + 0.25 * angular_velocity + 0.05 * position + 0.1 * velocity > 0.0)
        observations.append(observation)
        actions.append(action)
        observation, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            observation, _ = environment.reset()
    return np.stack(observations), np.array(actions)


@attrs.frozen(slots=False)
class Recorded(DeviceEnvironment):
    """Shows recorded observations in random order; the target is the action that was taken, and being right the reward."""

    def __attrs_post_init__(self) -> None:
        observations, actions = recorded_steps()
        object.__setattr__(self, "_steps", (tf.constant(observations), tf.constant(actions)))

    @property
    def spec(self) -> EnvironmentSpec:
        return EnvironmentSpec("recorded", Array((4,)), Discrete(2), target=Discrete(2), max_episode_steps=1)

    def initial(self, seed: Seed, batch: int) -> Nest:
        return seeds.integers(seed, [batch], STEPS)

    def transition(self, state: Nest, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        target = tf.gather(self._steps[1], state)
        return state, tf.cast(action == target, tf.float32), tf.zeros_like(action, tf.bool), target

    def observe(self, state: Nest) -> Tensor:
        return tf.gather(self._steps[0], state)


clone_cartpole = Task(
    name="clone-cartpole",
    description="A network learns to balance CartPole from recorded steps.",
    environment=part("recorded"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("supervised"),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=200_000,
    num_environments=64,
    report_period=20_000,
    evaluation=Evaluation(environment=part("cartpole"), episodes=20),
)
