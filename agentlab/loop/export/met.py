"""Observations on which an exported policy is compared with the agent: random ones, and those met in the environment."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from agentlab import seeds
from agentlab.checks.timesteps import EnvironmentCheck
from agentlab.environment import Environment
from agentlab.loop.acting import HostPolicyActor, PolicyActor
from agentlab.loop.turn import turn
from agentlab.spec import EnvironmentSpec, copied, random_values
from agentlab.spec.environment_spec import MASK
from agentlab.types import Nest, TimeStep

ROWS = 4  # episodes side by side
RANDOM_STEPS, RECORDED_STEPS = 16, 64
ENDS = 0.1  # the probability that an episode of random observations ends at a step


@attrs.frozen(eq=False)
class Met:
    """What an agent meets before it acts.

    Attributes:
        observation: of the environment, `[B, *O]`.
        begun: whether an episode begins with it, `[B]` bool.
        reward: of the last action, `[B]` float32.
    """

    observation: Nest
    begun: np.ndarray
    reward: np.ndarray


def random(spec: EnvironmentSpec, steps: int = RANDOM_STEPS, seed: int = 0) -> Iterator[Met]:
    """Yields random observations of a space, `ROWS` at a time; all episodes begin with the first."""
    generator = np.random.default_rng(seed)
    begun, reward = np.ones(ROWS, np.bool_), np.zeros(ROWS, np.float32)
    for _ in range(steps):
        yield Met(_with_allowed(random_values(spec.observation, ROWS, generator), generator), begun, reward)
        begun = generator.random(ROWS) < ENDS
        reward = generator.normal(size=ROWS).astype(np.float32)


def record(environment: Environment, actor: PolicyActor, seed: int, steps: int = RECORDED_STEPS) -> list[Met]:
    """Returns what an actor meets in an environment in so many steps.

    Raises:
        EnvironmentFault: a time step is not as the environment's spec says.
    """
    perception, rows = actor.policy.perception, environment.num_environments
    check, host = EnvironmentCheck(environment.spec, rows), HostPolicyActor(actor)

    def step(nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
        return nothing, check.take(environment.step(copied(action)), action)

    # Copies, since an environment may write into its arrays again.
    first = check.begin(environment.reset(seeds.host_seed(seed, "export")))
    observation, state = perception.first(first.observation), actor.initial_state(rows)
    met = [Met(copied(first.observation), np.ones(rows, np.bool_), np.zeros(rows, np.float32))]
    for _ in range(steps - 1):
        _, timestep, state = turn(host, step, (), observation, state)
        observation = timestep.observation
        met.append(Met(copied(perception.unjoined(observation)), timestep.begun.copy(), timestep.reward.copy()))
    return met


def _with_allowed(observation: Nest, generator: np.random.Generator) -> Nest:
    """Returns observations whose masks, if there are any, forbid one random value in each row, never all."""
    if not isinstance(observation, dict) or MASK not in observation:
        return observation
    mask = np.ones_like(observation[MASK])
    forbidden = generator.integers(mask.shape[-1], size=mask.shape[:-1])
    np.put_along_axis(mask, forbidden[..., None], 0, axis=-1)
    return {**observation, MASK: mask}
