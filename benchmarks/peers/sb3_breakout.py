"""Stable-Baselines3's DQN on Breakout, by the same preprocessing, batch and update period as `dqn-breakout`.

    pip install stable-baselines3 ale-py opencv-python-headless
    python benchmarks/peers/sb3_breakout.py --steps 4000 --environments 8

Prints a line of JSON: environment steps per second while it learns.
"""

from __future__ import annotations

import argparse
import json
import time

import ale_py  # noqa: F401 - registers the games
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

LEARNING_STARTS = 2_000


class Clock(BaseCallback):
    """Notes when learning is under way, and how far it came."""

    def __init__(self, warm_up: int) -> None:
        super().__init__()
        self.warm_up, self.begin = warm_up, None

    def _on_step(self) -> bool:
        if self.begin is None and self.num_timesteps >= self.warm_up:
            self.begin, self.first = time.perf_counter(), self.num_timesteps
        return True

    def rate(self) -> float:
        """Returns environment steps per second since the warm-up."""
        return (self.num_timesteps - self.first) / (time.perf_counter() - self.begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4_000, help="environment steps to time")
    parser.add_argument("--environments", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # make_atari_env: no-ops, frame skip 4 with max-pooling, life loss, fire, 84 x 84 grey, clipped rewards
    environment = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", options.environments, options.seed), 4)
    model = DQN(
        "CnnPolicy",
        environment,
        learning_rate=1e-4,
        buffer_size=20_000,
        learning_starts=LEARNING_STARTS,
        batch_size=32,
        train_freq=max(4 // options.environments, 1),
        gradient_steps=max(options.environments // 4, 1),
        target_update_interval=4_000,
        seed=options.seed,
    )
    clock = Clock(LEARNING_STARTS + 400)
    model.learn(LEARNING_STARTS + 400 + options.steps, callback=clock)
    print(json.dumps({"environments": options.environments, "env_steps_per_second": clock.rate()}))


if __name__ == "__main__":
    main()
