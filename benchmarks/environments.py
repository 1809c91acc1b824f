"""Device environments in the compiled loop: steps per second of random actions, by XLA and as a graph.

python benchmarks/environments.py cartpole acrobot minatar-seaquest
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.loop.autoreset import Autoreset
from agentlab.registry import plugins
from agentlab.spec import Array
from agentlab.tensors.execution import compiled
from agentlab.types import Tensor

NAMES = ("cartpole", "acrobot", "mountain-car", "mountain-car-continuous", "pendulum")
GAMES = tuple(f"minatar-{game}" for game in ("asterix", "breakout", "freeway", "seaquest", "space-invaders"))


def rollout(name: str, rows: int, turns: int) -> Any:
    """Returns a function that takes so many random turns in B environments, and returns the sum of rewards and boards."""
    environment = plugins.load("environment", name)()
    runner, space = Autoreset(environment, rows, 0), environment.spec.action
    key = seeds.stream(0, "actions")

    def action(index: Tensor) -> Tensor:
        seed = seeds.at(key, index)
        if isinstance(space, Array):
            return seeds.uniform(seed, [rows, *space.shape], float(np.min(space.minimum)), float(np.max(space.maximum)))
        return seeds.integers(seed, [rows], space.num_values)

    def turn(index: Tensor, episodes: Any, total: Tensor) -> Any:
        episodes, timestep = runner.step(episodes, action(index), index)
        observed = tf.reduce_sum(tf.cast(timestep.observation, tf.float32))  # or the compiler leaves observations out
        return index + 1, episodes, total + tf.reduce_sum(timestep.reward) + observed

    def run() -> Tensor:
        episodes, _ = runner.reset()
        begin = (tf.constant(1, tf.int64), episodes, tf.constant(0.0))
        return tf.while_loop(lambda index, *_: index <= turns, turn, begin, parallel_iterations=1)[2]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*NAMES, *GAMES], help="of environments (default: all of them)")
    parser.add_argument("--rows", type=int, default=10, help="environments side by side (default: 10)")
    parser.add_argument("--turns", type=int, default=10_000, help="of all environments (default: 10,000)")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    for name in options.names:
        figures = []
        for execution in ("xla", "graph"):
            run = compiled(rollout(name, options.rows, options.turns), execution)
            begin = time.perf_counter()
            float(run())
            times = [time.perf_counter() - begin]  # with compilation
            for _ in range(3):
                begin = time.perf_counter()
                float(run())
                times.append(time.perf_counter() - begin)
            rate = options.rows * options.turns / statistics.median(times[1:])
            figures.append(f"{execution} {rate:,.0f} steps/s, compiled in {times[0] - times[1]:.1f} s")
        print(f"{name}: {'; '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()
