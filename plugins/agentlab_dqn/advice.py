"""Environments whose actions are not discrete: refused, with a line of Python that wraps them."""

from __future__ import annotations

import math

import numpy as np

from agentlab import errors
from agentlab.spec import EnvironmentSpec, SpaceNest, choices_of, describe, is_array, num_values_of
from agentlab.types import Shape

MOST_CHOICES = 1_000  # combinations of several choices that are few enough to be one choice


def num_actions(algorithm: str, spec: EnvironmentSpec) -> int:
    """Returns among how many actions an agent chooses in an environment.

    Raises:
        UsageError: an action is not a single choice, which the `algorithm` needs.
    """
    action, num_values = spec.action, num_values_of(spec.action)
    if num_values is None or choices_of(action):
        raise errors.UsageError(
            f"{algorithm} needs discrete actions; environment {spec.name!r} takes a {describe(action)}. {made_discrete(action)}"
        )
    return num_values


def made_discrete(action: SpaceNest) -> str:
    """Returns what makes such actions of a Gymnasium environment discrete."""
    if is_array(action):
        return _wrapped("gymnasium.wrappers.DiscretizeAction(gymnasium.make(ID), bins=5)")

    # How many values each element of the action has; a mapping of spaces is never one choice.
    limits = None if isinstance(action, dict) else action.limits
    if isinstance(action, dict) or limits is None or math.prod(sizes := _sizes(limits, action.shape)) > MOST_CHOICES:
        taken = _wrapped("Taken(gymnasium.make(ID))")
        return f"{taken} Taken is a gymnasium.ActionWrapper of yours that takes Discrete actions."

    # A single choice numbers all combinations in C order.
    combined = f"numpy.reshape(numpy.unravel_index(action, {sizes}), env.action_space.shape)"
    if action.to_environment(np.zeros(action.shape, action.dtype)).any():
        combined += " + env.action_space.start"
    choice = f"gymnasium.spaces.Discrete({math.prod(sizes)})"
    return _wrapped(f"gymnasium.wrappers.TransformAction(env := gymnasium.make(ID), lambda action: {combined}, {choice})")


def _sizes(limits: tuple[np.ndarray, np.ndarray], shape: Shape) -> tuple[int, ...]:
    """Returns how many values each element has; of more elements than are listed in a message, their number alone."""
    if math.prod(shape) > MOST_CHOICES:
        return (math.prod(shape),)
    return tuple((np.broadcast_to(limits[1], shape).ravel() + 1).tolist())


def _wrapped(environment: str) -> str:
    call = f"agentlab.run('dqn', environment=lambda: {environment})"
    return f"A wrapper makes those of a Gymnasium environment discrete: {call}."
