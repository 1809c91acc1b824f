"""Trajectories of environments under random actions, and what every time step of one must be like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.environment import DeviceEnvironment, Environment
from agentlab.loop.autoreset import Autoreset
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.testing.checks.violation import expect, shape_and_dtype
from agentlab.types import TimeStep


def random_actions(spec: EnvironmentSpec, turns: int, rows: int, seed: int = 0) -> np.ndarray:
    """Returns actions `[turns, rows, *A]`; numbers without bounds are taken from -1 to 1."""
    generator, action = np.random.default_rng(seed), spec.action
    if isinstance(action, Discrete):
        return generator.integers(0, action.num_values, (turns, rows, *action.shape)).astype(action.dtype)
    low, high = max(action.minimum, -1.0), min(action.maximum, 1.0)
    return generator.uniform(low, high, (turns, rows, *action.shape)).astype(action.dtype)


def on_device(
    environment: DeviceEnvironment, seed: int, actions: np.ndarray, wrap: Callable[[Any], Any] = lambda function: function
) -> TimeStep:
    """Returns the time steps of a reset and of actions `[turns, rows, *A]`, each leaf `[turns + 1, rows, ...]`.

    Args:
        environment: acted in, with its time limit and auto-reset.
        seed: of its draws.
        actions: taken.
        wrap: compiles the step.
    """
    autoreset = Autoreset(environment, actions.shape[1], seed)
    step = wrap(autoreset.step)
    episodes, timestep = autoreset.reset()
    timesteps = [timestep]
    for index, action in enumerate(actions, 1):
        episodes, timestep = step(episodes, tf.constant(action), tf.constant(index, tf.int64))
        timesteps.append(timestep)
    return stacked(timesteps)


def on_host(environment: Environment, seed: int, actions: np.ndarray) -> TimeStep:
    """Returns the time steps of a reset and of actions `[turns, rows, *A]`, each leaf `[turns + 1, rows, ...]`."""
    timesteps = [environment.reset(seed)]
    for action in actions:
        timesteps.append(environment.step(action))
    return stacked(timesteps)


def stacked(timesteps: list[TimeStep]) -> TimeStep:
    """Returns the time steps, each leaf stacked `[turns + 1, rows, ...]`.

    Raises:
        Violation: a time step is none, or leaves change their shape on the way.
    """
    leaves: dict[str, Any] = {}
    for field in attrs.fields(TimeStep):
        found = [getattr(timestep, field.name) if isinstance(timestep, TimeStep) else timestep for timestep in timesteps]
        wrong = next((each for each in timesteps if not isinstance(each, TimeStep)), None)
        expect(wrong is None, "an agentlab.TimeStep from every reset and step", repr(wrong))
        shapes = {np.shape(leaf) for leaf in found}
        expect(len(shapes) == 1, f"the same shape of {field.name} at every step", " and ".join(map(str, shapes)))
        empty = all(isinstance(leaf, tuple) for leaf in found)
        leaves[field.name] = () if empty else np.stack([np.asarray(leaf) for leaf in found])
    return TimeStep(**leaves)


def row(found: TimeStep, index: int) -> TimeStep:
    """Returns one row of a trajectory, each leaf `[turns + 1, ...]`."""
    return tf.nest.map_structure(lambda leaf: leaf[:, index], found)


def expect_within(values: Any, space: Array | Discrete, rows: int, name: str) -> None:
    """Raises a Violation unless `values` `[..., rows, *shape]` have the space's shape, dtype and range, and are finite."""
    array = np.asarray(values)
    expected = (rows, *space.shape)
    kept = array.shape[array.ndim - len(expected) :] == expected and array.dtype == space.dtype
    expect(kept, f"{name} in {space.dtype} of shape {expected}", shape_and_dtype(array))
    low, high = (0, space.num_values - 1) if isinstance(space, Discrete) else (space.minimum, space.maximum)
    if np.issubdtype(array.dtype, np.number):
        finite = np.isfinite(array)
        expect(finite.all(), f"finite {name}", array[~finite][:1])
        kept = array.min() >= low and array.max() <= high
        expect(kept, f"{name} from {low} to {high}", f"values from {array.min()} to {array.max()}")


def expect_flags(found: TimeStep, rows: int) -> None:
    """Raises a Violation unless rewards and ends have the right shapes and dtypes, and rewards are finite."""
    for name, dtype in (("reward", "float32"), ("terminated", "bool"), ("truncated", "bool")):
        values = getattr(found, name)
        kept = values.dtype == dtype and values.shape[1:] == (rows,)
        got = f"{values.dtype} of shape {values.shape[1:]}"
        expect(kept, f"{name} in {dtype} of shape ({rows},)", got)
    finite = np.isfinite(found.reward)
    expect(finite.all(), "finite rewards", found.reward[~finite][:1])


def expect_nothing_happened(found: TimeStep) -> None:
    """Raises a Violation unless the first time step is one after a reset."""
    for name in ("reward", "terminated", "truncated"):
        values = getattr(found, name)[0]
        expect(not values.any(), f"no {name} after a reset", values)
    same = np.array_equal(found.observation[0], found.final_observation[0])
    expect(same, "the same observation and final_observation after a reset", "two different ones")


def expect_final(found: TimeStep) -> None:
    """Raises a Violation unless observation and final_observation are the same wherever no episode ended."""
    going_on = ~(found.terminated | found.truncated)
    wrong = np.argwhere(going_on & (found.observation != found.final_observation).reshape(*going_on.shape, -1).any(-1))
    got = f"different ones at step {wrong[0][0]} in row {wrong[0][1]}" if len(wrong) else ""
    expect(not len(wrong), "final_observation to be the observation where no episode ended", got)


def expect_targets(found: TimeStep, spec: EnvironmentSpec, rows: int) -> None:
    """Raises a Violation unless targets are as the spec says, or () where it says none."""
    if spec.target is None:
        expect(isinstance(found.target, tuple), "no target, (), as the spec has none", shape_and_dtype(found.target))
    else:
        expect(not isinstance(found.target, tuple), "a target, as the spec has one", "()")
        expect_within(found.target, spec.target, rows, "target")
