"""Runs an exported policy beside the agent's own: they must take the same actions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from agentlab import errors
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export.format import Arrays, Runner, UnsupportedError
from agentlab.loop.export.met import Met
from agentlab.loop.export.policy_function import BEGUN, OBSERVATION, REWARDS, STEP, PolicyFunction, named_leaves

TOLERANCE = 1e-5  # absolute, and of the action's size


def verify(policy: PolicyFunction, run: Runner, actor: PolicyActor, met: Iterable[Met]) -> None:
    """Runs an exported policy and an actor that hasn't acted yet on the same observations.

    Raises:
        UnsupportedError: they take different actions.
    """
    check_same(side_by_side(policy, _guarded(run), actor, met))


def check_same(pairs: Iterable[tuple[Arrays, Arrays]]) -> None:
    """Raises UnsupportedError if what an exported policy returned differs from what was expected, at any step."""
    for index, (outputs, expected) in enumerate(pairs):
        if clause := difference(outputs, expected):
            raise UnsupportedError(f"the exported policy acts differently: at step {index + 1}, {clause}")


def side_by_side(
    policy: PolicyFunction, run: Runner, actor: PolicyActor, met: Iterable[Met]
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields the outputs of an exported policy and the actions of an actor, by name, step after step."""
    inputs, drawn = policy.inputs, 0
    state: Arrays = {}
    for step in met:
        rows = len(step.begun)
        state = state or _blank_state(policy, rows)
        expected = actor.act(step.observation, step.begun, step.reward)

        # The inputs that it has, of all that there may be.
        present = {BEGUN: step.begun, REWARDS: step.reward, STEP: np.array(drawn, np.int64)}
        values = {**named_leaves(OBSERVATION, step.observation), **state, **present}
        outputs = run({name: values[name] for name in inputs})
        state, drawn = {name: outputs[f"next_{name}"] for name in state}, drawn + rows
        yield outputs, named_leaves("action", expected)


def _blank_state(policy: PolicyFunction, rows: int) -> Arrays:
    """Returns the states before the first step, `[rows, ...]` by name."""
    specs = {name: policy.inputs[name] for name in policy.states}
    return {name: np.zeros([rows, *spec.shape[1:]], spec.dtype.as_numpy_dtype) for name, spec in specs.items()}


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
