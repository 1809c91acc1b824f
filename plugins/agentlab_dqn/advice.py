"""Advice for environments whose actions are not discrete: a line of Python that makes them so."""

from __future__ import annotations

import math

from agentlab.spec import Array, MultiBinary, MultiDiscrete, SpaceNest

MOST_CHOICES = 1_000  # combinations of several choices that are few enough to be one choice


def made_discrete(action: SpaceNest) -> str:
    """Returns what makes such actions of a Gymnasium environment discrete."""
    if isinstance(action, Array):
        return _wrapped("gymnasium.wrappers.DiscretizeAction(gymnasium.make(ID), bins=5)")

    # How many choices each dimension of the action has.
    sizes: tuple[int, ...] = ()
    if isinstance(action, MultiDiscrete):
        sizes = action.sizes
    elif isinstance(action, MultiBinary):
        sizes = (2,) * math.prod(action.shape)
    if not sizes or math.prod(sizes) > MOST_CHOICES:
        taken = _wrapped("Taken(gymnasium.make(ID))")
        return f"{taken} Taken is a gymnasium.ActionWrapper of yours that takes Discrete actions."

    # A single choice numbers all combinations in C order.
    combined = f"numpy.reshape(numpy.unravel_index(action, {sizes}), env.action_space.shape)"
    if isinstance(action, MultiDiscrete) and any(action.start):
        combined += " + env.action_space.start"
    choice = f"gymnasium.spaces.Discrete({math.prod(sizes)})"
    return _wrapped(f"gymnasium.wrappers.TransformAction(env := gymnasium.make(ID), lambda action: {combined}, {choice})")


def _wrapped(environment: str) -> str:
    call = f"agentlab.run('dqn', environment=lambda: {environment})"
    return f"A wrapper makes those of a Gymnasium environment discrete: {call}."
