"""CartPole whose steps take a millisecond, for `asynchronous.py`: Sleeping-v0 waits as for a device, Spinning-v0 computes."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

SECONDS = 0.001
MOST_STEPS = 500


class Sleeping(CartPoleEnv):
    """Leaves the processor to others while it steps."""

    def step(self, action: Any) -> Any:
        time.sleep(SECONDS)
        return super().step(action)


class Spinning(CartPoleEnv):
    """Keeps a processor busy while it steps."""

    def step(self, action: Any) -> Any:
        # Its own time on the processor: one that waits for a turn computes nothing.
        end = time.thread_time() + SECONDS
        while time.thread_time() < end:
            pass
        return super().step(action)


gymnasium.register("Sleeping-v0", Sleeping, max_episode_steps=MOST_STEPS)
gymnasium.register("Spinning-v0", Spinning, max_episode_steps=MOST_STEPS)
