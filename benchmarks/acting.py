"""An agent's `act`: microseconds for one observation, beside a peer's, and by an LSTM; for 1,000, beside the bare call.

python benchmarks/acting.py --peer "PYTHON benchmarks/peers/sb3_predict.py"
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import processes
import tensorflow as tf

import agentlab

CALLS = 5_000


def microseconds(call: Callable[[], Any], calls: int = CALLS) -> float:
    """Returns the median time of a call."""
    for _ in range(200):
        call()
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often, in turn with the peer (default: 3)")
    parser.add_argument("--peer", metavar="COMMAND", help=f"{processes.PEER_HELP}: microseconds")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    alike = {"model": {"hidden_units": [120, 84]}, "normalization": {"observations": False, "images": False}}  # to the peer
    agent = agentlab.make_agent("dqn", changes=alike)
    remembering = agentlab.make_agent("ppo-lstm-cartpole-no-velocity")
    one = np.array([0.01, -0.02, 0.03, 0.04], np.float32)
    thousand = np.random.default_rng(0).normal(size=(1_000, 4)).astype(np.float32)
    bare = tf.function(lambda observation: tf.argmax(agent.model(observation), axis=-1))
    for turn in range(options.rounds):
        acting = microseconds(lambda: agent.act(one))
        line = f"round {turn}: one observation {acting:.0f} us"
        if options.peer:
            theirs = processes.run_peer(options.peer)[0][-1]["microseconds"]
            line += f", peer {theirs:.0f} us, {theirs / acting:.2f} times as long"
        line += f"; by an LSTM of 64 {microseconds(lambda: remembering.act(one[::2])):.0f} us"
        batch = microseconds(lambda: agent.act(thousand), 1_000)
        alone = microseconds(lambda: bare(tf.constant(thousand)).numpy(), 1_000)
        print(f"{line}; 1,000 {batch:.0f} us, {batch / alone:.2f} times the bare call's {alone:.0f} us", flush=True)


if __name__ == "__main__":
    main()
