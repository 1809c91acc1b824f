"""Stable-Baselines3's DQN in 8 environments of SubprocVecEnv whose steps take a millisecond, in environment steps per second.

pip install stable-baselines3
python benchmarks/peers/sb3_asynchronous.py

Prints a line of JSON for each case: the environment, environment steps per update, and the rate.
"""

from __future__ import annotations

import functools
import importlib
import json
import pathlib
import sys
import time

import gymnasium
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import SubprocVecEnv

ENVIRONMENTS = 8
WARM_UP = 1_600  # environment steps
CASES = {1: 6_400, 8: 12_800}  # environment steps per update, and to time


def make(environment: str, folder: str) -> gymnasium.Env:
    """Returns an environment, in whatever process."""
    sys.path.append(folder)
    importlib.import_module("slow_environments")
    return gymnasium.make(environment)


def rate(environment: str, period: int, steps: int) -> float:
    """Returns environment steps per second, while it learns."""
    folder = str(pathlib.Path(__file__).parents[1])
    vector = SubprocVecEnv([functools.partial(make, environment, folder)] * ENVIRONMENTS)
    model = DQN(
        "MlpPolicy",
        vector,
        learning_rate=2.5e-4,
        batch_size=128,
        buffer_size=10_000,
        learning_starts=1_000,
        target_update_interval=500,
        train_freq=1,  # of all environments at a time
        gradient_steps=ENVIRONMENTS // period,
        policy_kwargs={"net_arch": [120, 84]},
        seed=0,
    )
    model.learn(WARM_UP)
    begin = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    seconds = time.perf_counter() - begin
    vector.close()
    return steps / seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    for environment in ("Sleeping-v0", "Spinning-v0"):
        for period, steps in CASES.items():
            figure = rate(environment, period, steps)
            print(json.dumps({"environment": environment, "period": period, "env_steps_per_second": figure}), flush=True)
