"""Gymnasium environments as host environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

__all__ = ["GymnasiumEnvironment"]


def __getattr__(name: str) -> Any:
    if name == "GymnasiumEnvironment":  # imported when it is used: worker processes need less
        from agentlab_envs.gymnasium import environment

        return environment.GymnasiumEnvironment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
