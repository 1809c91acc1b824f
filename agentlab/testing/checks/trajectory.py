"""Trajectories of environments under random actions, and expectations of their time steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab.checks.values import entry_name
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.loop.autoreset import Autoreset
from agentlab.spec import EnvironmentSpec, Space, SpaceNest, joined, random_values
from agentlab.spec.environment_spec import MASK
from agentlab.testing.checks.violation import expect, is_same, shape_and_dtype
from agentlab.types import Nest, TimeStep, is_empty

Actions = Sequence[Nest]  # of each turn, leaves [rows, *A]


def random_actions(spec: EnvironmentSpec, turns: int, rows: int, seed: int = 0) -> list[Nest]:
    """Returns the actions of each turn, leaves `[rows, *A]`; numbers without bounds are taken from -1 to 1."""
    generator = np.random.default_rng(seed)
    return [random_values(spec.action, rows, generator) for _ in range(turns)]


def on_device(
    environment: DeviceEnvironment, seed: int, actions: Actions, wrap: Callable[[Any], Any] = lambda function: function
) -> TimeStep:
    """Returns the time steps of a reset and of actions, each leaf `[turns + 1, rows, ...]`.

    Args:
        environment: acted in, with its time limit and auto-reset.
        seed: of its draws.
        actions: taken, of each turn.
        wrap: compiles the step.
    """
    rows = len(tf.nest.flatten(actions[0])[0])

    # Random actions, but only such as the environment's mask allows.
    autoreset = Autoreset(environment, rows, seed)
    step = wrap(autoreset.step)
    episodes, timestep = autoreset.reset()
    timesteps = [timestep]
    for index, action in enumerate(actions, 1):
        chosen = tf.nest.map_structure(tf.constant, allowed(environment.spec, action, timestep.observation))
        episodes, timestep = step(episodes, chosen, tf.constant(index, tf.int64))
        timesteps.append(timestep)
    return stacked(timesteps)


def on_host(environment: Environment, seed: int, actions: Actions) -> TimeStep:
    """Returns the time steps of a reset and of actions, each leaf `[turns + 1, rows, ...]`."""
    begin = environment.reset(seed)
    following = going_on(environment, actions, begin.observation) if isinstance(begin, TimeStep) else []
    return stacked([begin, *following])


def going_on(environment: Environment, actions: Actions, observation: Nest) -> list[TimeStep]:
    """Returns the time steps of actions from where an environment shows `observation` `[rows, *O]`."""
    timesteps: list[TimeStep] = []
    for action in actions:
        timesteps.append(environment.step(allowed(environment.spec, action, observation)))
        if not isinstance(timesteps[-1], TimeStep):
            break
        observation = timesteps[-1].observation
    return timesteps


def allowed(spec: EnvironmentSpec, action: Nest, observation: Nest) -> Nest:
    """Returns actions `[rows, *A]`, the next ones that are allowed where the observation's mask forbids them."""
    if not spec.has_mask:
        return action
    mask = np.asarray(observation[MASK], np.bool_)
    sizes = () if isinstance(spec.action, dict) else spec.action.sizes
    if not sizes:
        return _next_allowed(action, mask)
    masks = np.split(mask, np.cumsum(sizes)[:-1], axis=-1)
    choices = [_next_allowed(action[..., index], part) for index, part in enumerate(masks)]
    return np.stack(choices, axis=-1)


def _next_allowed(choice: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns choices `[...]`, each replaced by the next of K values, in a circle, that its mask `[..., K]` allows."""
    values = (choice[..., None] + np.arange(mask.shape[-1])) % mask.shape[-1]
    first = np.take_along_axis(mask, values, -1).argmax(-1)[..., None]
    return np.take_along_axis(values, first, -1)[..., 0].astype(choice.dtype)


def stacked(timesteps: list[TimeStep]) -> TimeStep:
    """Returns the time steps, each leaf stacked `[turns + 1, rows, ...]`.

    Raises:
        Violation: there is something else among them, or shapes differ.
    """
    wrong = next((timestep for timestep in timesteps if not isinstance(timestep, TimeStep)), None)
    expect(wrong is None, "an agentlab.TimeStep from every reset and step", repr(wrong))
    begin, *rest = timesteps
    if is_empty(begin.target) and rest and not is_empty(rest[0].target):  # no action led to the first one
        target = tf.nest.map_structure(lambda leaf: np.zeros_like(np.asarray(leaf)), rest[0].target)
        timesteps = [attrs.evolve(begin, target=target), *rest]
    names = [field.name for field in attrs.fields(TimeStep)]
    return TimeStep(**{name: _stacked(name, [getattr(timestep, name) for timestep in timesteps]) for name in names})


def _stacked(name: str, values: list[Nest]) -> Nest:
    if isinstance(values[0], dict):
        alike = all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values)
        expect(alike, f"a mapping of the same entries, {sorted(values[0])}, as {name} of every step", "others")
        return {key: _stacked(entry_name(name, key), [value[key] for value in values]) for key in sorted(values[0])}
    shapes = dict.fromkeys(np.shape(leaf) for leaf in values)
    expect(len(shapes) == 1, f"the same shape of {name} at every step", " and ".join(map(str, shapes)))
    empty = all(isinstance(leaf, tuple) for leaf in values)
    return () if empty else np.stack([np.asarray(leaf) for leaf in values])


def row(timesteps: TimeStep, index: int) -> TimeStep:
    """Returns one row of a trajectory, each leaf `[turns + 1, ...]`."""
    return tf.nest.map_structure(lambda leaf: leaf[:, index], timesteps)


def beginning(timesteps: TimeStep, turns: int) -> TimeStep:
    """Returns the reset and the first turns of a trajectory, each leaf `[turns + 1, rows, ...]`."""
    return tf.nest.map_structure(lambda leaf: leaf[: turns + 1], timesteps)


def expect_within(values: Nest, space: SpaceNest, rows: int, name: str, path: str = "") -> None:
    """Raises a Violation unless `values` `[..., rows, *shape]` have the spaces' shapes, dtypes and ranges, and are finite."""
    if not isinstance(space, dict):
        _expect_array(np.asarray(values), space, rows, entry_name(name, path))
        return
    entries = sorted(values) if isinstance(values, dict) else type(values).__name__
    expect(entries == sorted(space), f"{entry_name(name, path)} with the entries {sorted(space)}", entries)
    for key in sorted(space):
        expect_within(values[key], space[key], rows, name, joined(path, key))


def _expect_array(array: np.ndarray, space: Space, rows: int, name: str) -> None:
    expected = (rows, *space.shape)
    fits = array.shape[array.ndim - len(expected) :] == expected and array.dtype == space.dtype
    expect(fits, f"{name} in {space.dtype} of shape {expected}", shape_and_dtype(array))
    if not array.size or not np.issubdtype(array.dtype, np.number):
        return
    finite = np.isfinite(array)
    expect(finite.all(), f"finite {name}", array[~finite][:1])
    expect_between(array, *bounds(space), name)


def bounds(space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Returns the smallest and the largest value of every element of a space, which broadcast to its shape."""
    if hasattr(space, "low") and hasattr(space, "high"):
        return space.low, space.high
    limits = space.limits
    return limits if limits is not None else (np.array(-np.inf), np.array(np.inf))


def expect_between(array: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, where: str = "") -> None:
    """Raises a Violation unless the elements of `array` `[..., *shape]` are from `low` to `high`, which broadcast to it."""
    # [..., *shape] bool.
    right = (array >= low) & (array <= high)
    if right.all():
        return

    # One pair of bounds for all elements, or the pair of the first wrong element.
    if np.size(low) and np.all(low == np.ravel(low)[0]) and np.all(high == np.ravel(high)[0]):
        low, high = np.ravel(low)[0], np.ravel(high)[0]
        expect(False, f"{name} from {low} to {high}{where}", f"values from {array.min()} to {array.max()}")
    place = tuple(np.argwhere(~right)[0])
    low, high = (np.broadcast_to(bound, array.shape)[place] for bound in (low, high))
    element = [int(index) for index in place[array.ndim - max(np.ndim(low), np.ndim(high), 1) :]]
    expect(False, f"{name}{element} from {low} to {high}{where}", f"{array[place]}")


def expect_flags(timesteps: TimeStep, rows: int) -> None:
    """Raises a Violation unless rewards and ends have the right shapes and dtypes, and rewards are finite."""
    for name, dtype in (("reward", "float32"), ("terminated", "bool"), ("truncated", "bool"), ("acted", "bool")):
        values = getattr(timesteps, name)
        fits = values.dtype == dtype and values.shape[1:] == (rows,)
        got = f"{values.dtype} of shape {values.shape[1:]}"
        expect(fits, f"{name} in {dtype} of shape ({rows},)", got)
    finite = np.isfinite(timesteps.reward)
    expect(finite.all(), "finite rewards", timesteps.reward[~finite][:1])


def expect_nothing_happened(timesteps: TimeStep) -> None:
    """Raises a Violation unless the first time step is one after a reset."""
    for name in ("reward", "terminated", "truncated", "acted"):
        values = getattr(timesteps, name)[0]
        expect(not values.any(), f"no {name} after a reset", values)
    begin = tf.nest.map_structure(lambda leaf: leaf[0], timesteps)
    same = is_same(begin.observation, begin.final_observation)
    expect(same, "the same observation and final_observation after a reset", "two different ones")


def expect_final(timesteps: TimeStep) -> None:
    """Raises a Violation unless observation and final_observation are the same wherever no episode ended."""
    # [turns, rows] bool.
    unended = ~(timesteps.terminated | timesteps.truncated)

    def differ(observation: np.ndarray, final: np.ndarray) -> np.ndarray:
        return (observation != final).reshape(*unended.shape, -1).any(-1)

    differences = tf.nest.flatten(tf.nest.map_structure(differ, timesteps.observation, timesteps.final_observation))
    wrong = np.argwhere(unended & functools.reduce(np.logical_or, differences))
    got = f"different ones at step {wrong[0][0]} in row {wrong[0][1]}" if len(wrong) else ""
    expect(not len(wrong), "final_observation to be the observation where no episode ended", got)


def expect_targets(timesteps: TimeStep, spec: EnvironmentSpec, rows: int) -> None:
    """Raises a Violation unless targets are as the spec says, or () where it says none."""
    if spec.target is None:
        expect(isinstance(timesteps.target, tuple), "no target, (), as the spec has none", shape_and_dtype(timesteps.target))
    else:
        expect(not isinstance(timesteps.target, tuple), "a target, as the spec has one", "()")
        expect_within(timesteps.target, spec.target, rows, "target")
