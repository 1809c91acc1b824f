"""Stable-Baselines3's `predict` with the network of task `dqn`: microseconds for one observation of CartPole.

pip install stable-baselines3
python benchmarks/peers/sb3_predict.py
"""

import json
import statistics
import time

import numpy as np
import torch
from stable_baselines3 import DQN

CALLS = 5_000

torch.set_num_threads(1)
model = DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [120, 84]})
observation = np.array([0.01, -0.02, 0.03, 0.04], np.float32)
times = []
for _ in range(CALLS):
    begin = time.perf_counter()
    model.predict(observation, deterministic=True)
    times.append(time.perf_counter() - begin)
print(json.dumps({"microseconds": statistics.median(times) * 1e6}))
