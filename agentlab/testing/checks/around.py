"""What a part is tested among: the other parts of a task, and transitions of its environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.loop.composition import build_environment, on_host
from agentlab.spec import Discrete, EnvironmentSpec
from agentlab.task import Part, Task, part
from agentlab.testing.checks.trajectory import random_actions
from agentlab.types import Transition

IDENTITY = Task(
    name="identity",
    description="What parts are tested among unless they say otherwise: to name the symbol shown, 16 times an episode.",
    environment=part("identity"),
    model=part("mlp", hidden_units=(32,)),
    trainer=part("supervised"),
    sampler=part("temperature"),
    memory=part("latest"),
    steps=20_000,
    num_environments=8,
    report_period=20_000,
)


def spec_of(environment: Part) -> EnvironmentSpec:
    """Returns an environment's spec."""
    built = build_environment(environment, 1)
    spec = built.spec
    if isinstance(built, Environment):
        built.close()
    return spec


def observations(environment: Part, rows: int) -> tf.Tensor:
    """Returns an environment's observations `[rows, *O]` after a few random steps."""
    return transitions(build_environment(environment, rows), rows, 3)[-1][0].next_observation


def usual_outputs(spec: EnvironmentSpec) -> int:
    """Returns K, the outputs a model is asked for where no trainer says: one per value, or per number of an action."""
    return spec.action.num_values if isinstance(spec.action, Discrete) else spec.action.shape[-1]


def transitions(
    environment: Environment | DeviceEnvironment, rows: int, turns: int, seed: int = 0
) -> list[tuple[Transition, tf.Tensor]]:
    """Returns the transitions `[rows, ...]` of so many turns under random actions, each with which episodes ended by it."""
    hosted = on_host(environment, rows)
    try:
        timestep, found = hosted.reset(seed), []
        for action in random_actions(hosted.spec, turns, rows, seed):
            following = hosted.step(action)
            between = Transition.between(timestep.observation, action, following)
            ended = following.terminated | following.truncated
            found.append(tf.nest.map_structure(tf.convert_to_tensor, (between, ended)))
            timestep = following
        return found
    finally:
        hosted.close()


def numbered(spec: EnvironmentSpec, count: int, begin: int = 0) -> Transition:
    """Returns transitions that can be told apart: every leaf of transition i shows i; each ends its episode.

    With every episode one step long, a memory that sums up several steps hands them out unchanged as well.
    """
    numbers = np.arange(begin, begin + count)

    def leaf(shape: tuple[int, ...], dtype: str, values: np.ndarray) -> Any:
        return tf.constant(np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (count, *shape)).astype(dtype))

    observed = (spec.observation.shape, spec.observation.dtype)
    return Transition(
        observation=leaf(*observed, numbers),
        action=leaf(spec.action.shape, spec.action.dtype, numbers % 5),
        reward=leaf((), "float32", numbers),
        discount=leaf((), "float32", np.zeros(count)),
        next_observation=leaf(*observed, numbers + 0.5),
        target=() if spec.target is None else leaf(spec.target.shape, spec.target.dtype, numbers % 5),
    )


def seed(step: int = 0) -> tf.Tensor:
    """Returns a seed `[2]` int64 to test with, another one at every step."""
    return seeds.at(seeds.stream(0, "test"), step)
