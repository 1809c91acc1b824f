"""sb3-contrib's RecurrentPPO on CartPole without velocities, in environment steps per second between warm-up and end.

pip install sb3-contrib
python benchmarks/peers/sb3_recurrent_ppo.py

Policy and value share one LSTM of 64 units, its least work; 128 steps of 8 environments, 4 epochs of 4 minibatches.
"""

from __future__ import annotations

import json
import time

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.env_util import make_vec_env

WARM_UP, TIMED = 2_048, 20_480  # environment steps


class NoVelocity(gymnasium.ObservationWrapper):
    """Shows the position and the angle alone."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[::2]


def main() -> None:
    torch.set_num_threads(1)
    policy = {"lstm_hidden_size": 64, "shared_lstm": True, "enable_critic_lstm": False, "net_arch": []}
    environments = make_vec_env("CartPole-v1", 8, seed=0, wrapper_class=NoVelocity)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        environments,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        learning_rate=2.5e-4,
        ent_coef=0.01,
        seed=0,
        device="cpu",
        policy_kwargs=policy,
    )
    model.learn(WARM_UP)
    began = time.perf_counter()
    model.learn(TIMED, reset_num_timesteps=False)
    print(json.dumps({"env_steps_per_second": TIMED / (time.perf_counter() - began)}), flush=True)


if __name__ == "__main__":
    main()
