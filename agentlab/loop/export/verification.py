"""Runs an exported policy beside the agent's own: they must take the same actions."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from agentlab import errors
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export.formats import Arrays, Runner, UnsupportedError
from agentlab.loop.export.policy_function import BEGUN, OBSERVATION, REWARDS, STEP, PolicyFunction, named_leaves
from agentlab.spec import random_values
from agentlab.spec.environment_spec import MASK
from agentlab.types import Nest

ROWS, STEPS = 4, 16
TOLERANCE = 1e-5  # absolute, and of the action's size
ENDS = 0.1  # the probability that an episode ends at a step


@attrs.frozen(eq=False)
class Rollout:
    """Random observations for an exported policy, and what it carries from step to step.

    Args:
        policy: as a function.
        run: runs it.
        rows: episodes side by side.
        seed: of the observations.
    """

    policy: PolicyFunction
    run: Runner
    rows: int = ROWS
    seed: int = 0

    def steps(self, actor: PolicyActor, count: int) -> Iterator[tuple[Arrays, Arrays]]:
        """Yields the actions of the exported policy and those of an actor that hasn't acted yet, by name, step after step."""
        generator, space = np.random.default_rng(self.seed), actor.policy.perception.environment_spec
        inputs = self.policy.inputs
        state = {
            name: np.zeros([self.rows, *inputs[name].shape[1:]], inputs[name].dtype.as_numpy_dtype)
            for name in self.policy.states
        }
        begun, reward = np.ones(self.rows, np.bool_), np.zeros(self.rows, np.float32)
        for index in range(count):
            observation = _with_allowed(random_values(space.observation, self.rows, generator), generator)
            expected = actor.act(observation, begun, reward)

            # The inputs that it has, of all that there may be.
            present = {BEGUN: begun, REWARDS: reward, STEP: np.array(index * self.rows, np.int64)}
            values = {**named_leaves(OBSERVATION, observation), **state, **present}
            outputs = self.run({name: values[name] for name in inputs})
            state = {name: outputs[f"next_{name}"] for name in state}
            yield outputs, named_leaves("action", expected)
            begun = generator.random(self.rows) < ENDS
            reward = generator.normal(size=self.rows).astype(np.float32)


def _with_allowed(observation: Nest, generator: np.random.Generator) -> Nest:
    """Returns observations whose masks, if there are any, forbid one random value in each row, never all."""
    if not isinstance(observation, dict) or MASK not in observation:
        return observation
    mask = np.ones_like(observation[MASK])
    forbidden = generator.integers(mask.shape[-1], size=mask.shape[:-1])
    np.put_along_axis(mask, forbidden[..., None], 0, axis=-1)
    return {**observation, MASK: mask}


def difference(actions: Arrays, expected: Arrays) -> str:
    """Returns where actions differ from those expected, as a clause; "" if nowhere."""
    for name, right in expected.items():
        left, right = np.asarray(actions[name]), np.asarray(right)
        if left.shape != right.shape or left.dtype != right.dtype:
            return f"{name} is {left.dtype} of shape {left.shape} instead of {right.dtype} of shape {right.shape}"
        same = np.isclose(left, right, TOLERANCE, TOLERANCE) if right.dtype.kind == "f" else left == right
        if not np.all(same):
            place = np.argwhere(~same)[0]
            return f"{name} is {left[tuple(place)]} instead of {right[tuple(place)]} in row {place[0]}"
    return ""


def _guarded(run: Runner) -> Runner:
    """Returns a runner that raises an UnsupportedError where the exported policy fails."""

    def guarded(inputs: Arrays) -> Arrays:
        try:
            return run(inputs)
        except Exception as error:  # of many kinds, of the format's own program
            raise UnsupportedError(f"the exported policy fails when it acts: {errors.first_line(error)}") from error

    return guarded


def verify(policy: PolicyFunction, run: Runner, actor: PolicyActor, steps: int = STEPS) -> None:
    """Runs an exported policy and an actor that hasn't acted yet on the same observations.

    Raises:
        UnsupportedError: they take different actions.
    """
    for index, (actions, expected) in enumerate(Rollout(policy, _guarded(run)).steps(actor, steps)):
        if clause := difference(actions, expected):
            raise UnsupportedError(f"the exported policy acts differently: at step {index + 1}, {clause}")
