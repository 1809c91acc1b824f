"""PureJaxRL's PPO on CartPole with 8 environments, in environment steps per second, compilation not counted.

pip install jax flax optax distrax gymnax==0.0.8
git clone https://github.com/luchris429/purejaxrl
python benchmarks/peers/purejaxrl_ppo.py purejaxrl

The settings are those of its own `ppo.py`, but for the number of environments.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import unittest.mock

import jax

STEPS = 1_000_000
SETTINGS = {
    "ENV_NAME": "CartPole-v1",
    "NUM_ENVS": 8,
    "NUM_STEPS": 128,
    "TOTAL_TIMESTEPS": STEPS,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "LR": 2.5e-4,
    "ANNEAL_LR": True,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
}


def load_ppo(clone: str):
    """Returns its module; the packages that its other programs need don't have to be there."""
    unused = ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix")
    sys.modules.update({name: unittest.mock.MagicMock() for name in unused})
    jax.tree_map = jax.tree.map  # as Gymnax 0.0.8 calls it
    sys.path.insert(0, str(pathlib.Path(clone) / "purejaxrl"))
    import ppo

    return ppo


def main() -> None:
    train, key = jax.jit(load_ppo(sys.argv[1]).make_train(SETTINGS)), jax.random.PRNGKey(30)
    compiled = train.lower(key).compile()
    began = time.perf_counter()
    jax.block_until_ready(compiled(key))
    print(json.dumps({"env_steps_per_second": STEPS / (time.perf_counter() - began)}), flush=True)


if __name__ == "__main__":
    main()
