"""Tasks for any environment of a kind, of which `agentlab run auto` chooses one by the environment's spaces.

Packages offer them by entry points of the group `agentlab.generic_tasks`, such as `choice = agentlab_dqn.tasks:dqn`. Where
several offer one for a kind, agentlab's own comes first.
"""

from __future__ import annotations

import importlib.metadata
import math

import numpy as np

from agentlab import errors
from agentlab.spec import Discrete, EnvironmentSpec, SpaceNest, describe, is_array, leaves_of
from agentlab.task import Task

AUTO = "auto"  # stands for the name of a task
GROUP = "agentlab.generic_tasks"
ANY = "any"
IMAGE = "image"
SMALLEST_IMAGE = 36  # pixels to a side; dense layers do as well with less, and with grids of symbols
MOST_CHANNELS = 16  # of an image: stacked frames in colours, not a third axis of space
LARGEST_IN_REPLAY = 10_000  # numbers of an observation: a million of them take 10 GB or more


def kinds_of(spec: EnvironmentSpec) -> dict[str, str]:
    """Returns the kinds of generic tasks that suit an environment, the best first, each with the reason as a clause.

    "image" is for observations that are one image, whatever the actions; "choice" for actions that are one choice, "bounded"
    for arrays of numbers within bounds, and "any" for all. "choice" and "bounded" may learn from a replay, in which there is
    no room for many large observations.

    Raises:
        UsageError: none does, as the environment shows text or a data set.
    """
    if spec.vocabulary is not None or spec.target is not None:
        raise errors.UsageError(
            f"Task {AUTO!r} is for environments in which an agent acts for a reward; {spec.name!r} has right answers. Name a "
            "task: 'agentlab list task' shows them."
        )
    # From the special to the general.
    sides = image_sides(spec.seen)
    kinds = {} if sides is None else {IMAGE: "its observations are images of {} x {} pixels".format(*sides)}
    numbers = sum(math.prod(leaf.shape) for leaf in leaves_of(spec.observation).values())
    if numbers > LARGEST_IN_REPLAY:
        return {**kinds, ANY: f"its observations, of {numbers:,} numbers, are too large for a replay buffer"}
    actions = f"its actions are a {describe(spec.action)}"
    if isinstance(spec.action, Discrete) and spec.action.shape == ():
        kinds["choice"] = actions
    if is_array(spec.action) and spec.action.is_bounded:
        kinds["bounded"] = f"{actions} within bounds"
    return {**kinds, ANY: actions}


def image_sides(space: SpaceNest) -> tuple[int, int] | None:
    """Returns height and width of observations that are one image of at least `SMALLEST_IMAGE` pixels to a side, else None.

    An image has three axes, the channels first or last, and numbers from 0 to a largest one.
    """
    if not is_array(space) or len(space.shape) != 3:
        return None
    if np.min(space.minimum) < 0.0 or not math.isfinite(np.max(space.maximum)):
        return None
    first, middle, last = space.shape
    sides = (middle, last) if first < last else (first, middle)
    return sides if min(sides) >= SMALLEST_IMAGE and min(first, last) <= MOST_CHANNELS else None


def load(kinds: dict[str, str]) -> tuple[Task, str]:
    """Returns the generic task of the first of these kinds for which one is installed, and the kind.

    Raises:
        UsageError: none is.
    """
    offered = _entry_points()
    for kind in kinds:
        if kind in offered:
            return offered[kind].load(), kind
    raise errors.UsageError(f"No installed package offers a generic task for this kind of environment ({GROUP}). Name a task.")


def any_task() -> Task | None:
    """Returns the generic task for any environment, None if there is none."""
    entry = _entry_points().get(ANY)
    return None if entry is None else entry.load()


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Returns the entry points by kind."""
    # Later entries win: agentlab's own come last.
    points = importlib.metadata.entry_points(group=GROUP)
    ranked = sorted(points, key=lambda point: (point.dist is not None and point.dist.name == "agentlab", point.value))
    return {point.name: point for point in ranked}
