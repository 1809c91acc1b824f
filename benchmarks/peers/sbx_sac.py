"""SAC with SBX (JAX) in an environment of MuJoCo's, with rl-zoo's settings for those: the mean return of 100 greedy episodes.

PYTHON benchmarks/peers/sbx_sac.py HalfCheetah-v5 100000 SEED
"""

import json
import sys
import time

import gymnasium
import sbx
from stable_baselines3.common.evaluation import evaluate_policy

START = time.perf_counter()


def main() -> None:
    environment, steps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model = sbx.SAC("MlpPolicy", environment, learning_starts=10_000, seed=seed)
    model.learn(steps)
    mean, _ = evaluate_policy(model, gymnasium.make(environment), 100, warn=False)
    print(json.dumps({"seed": seed, "return_mean": float(mean), "seconds_total": time.perf_counter() - START}))


if __name__ == "__main__":
    main()
