"""Masks of allowed actions, taken from the infos of Gymnasium environments and added to the observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Discrete, MultiBinary, MultiDiscrete

from agentlab import errors
from agentlab.spec.environment_spec import MASK
from agentlab_envs.gymnasium import nests as nests

SOURCES = ("auto", "info", "none")
OBSERVATION = "observation"  # the entry of what an environment shows besides, if that has no entries itself
WIDTHS: dict[type[gymnasium.Space], Callable[[Any], int]] = {
    Discrete: lambda space: int(space.n),
    MultiDiscrete: lambda space: int(space.nvec.sum()),
}


def mask_space(env: gymnasium.Env, source: str) -> MultiBinary | None:
    """Returns the space of the masks in an environment's infos; None where they are not asked for or there are none.

    Args:
        env: whose infos they are.
        source: "info"; "none"; or "auto" for "info" where the environment has an attribute of that name, as Gymnasium's Taxi.

    Raises:
        UsageError: masks were asked for, and its actions are not choices.
    """
    if source == "none" or MASK in (nests.parts_of(env.observation_space) or {}):
        return None

    # Entries of a mask: one for every value of every choice.
    width = next((width for kind, width in WIDTHS.items() if isinstance(env.action_space, kind)), None)
    if width is None and source == "info":
        raise errors.UsageError(
            f"action_mask is 'info', but the environment takes actions from a {type(env.action_space).__name__} space; "
            "expected Discrete or MultiDiscrete. Set environment.action_mask to 'none'."
        )
    if width is None or (source == "auto" and not hasattr(env.unwrapped, MASK)):
        return None
    return MultiBinary(width(env.action_space))


def with_mask(space: gymnasium.Space, mask: gymnasium.Space) -> Dict:
    """Returns the space of observations with a mask; `space` has the names of `nests.named`."""
    return Dict({**(nests.parts_of(space) or {OBSERVATION: space}), MASK: mask})


def join(observation: object, mask: object) -> dict[str, Any]:
    """Returns an observation with a mask."""
    return {**(observation if isinstance(observation, dict) else {OBSERVATION: observation}), MASK: mask}


def mask_of(info: object) -> Any:
    """Returns the mask in an info, several choices' behind each other; None where there is none."""
    mask = info.get(MASK) if isinstance(info, dict) else None
    if isinstance(mask, tuple):
        return np.concatenate([np.ravel(part) for part in mask]) if mask else None
    return mask
