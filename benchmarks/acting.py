"""An agent's `act`: microseconds for one observation, beside a peer's, and by an LSTM; for 1,000, beside the bare call.

python benchmarks/acting.py --peer "PYTHON benchmarks/peers/sb3_predict.py"
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import processes
import tensorflow as tf

import agentlab

CALLS = 5_000
IN_A_ROW = 20  # calls between two looks at the machine


class Timing(NamedTuple):
    """Medians of a call's times, in microseconds.

    Attributes:
        usual: of all calls.
        undisturbed: of the tenth of them around which a plain loop of Python was fastest: a virtual core takes up to twice as
            long for everything while another machine uses its twin.
    """

    usual: float
    undisturbed: float

    def __str__(self) -> str:
        return f"{self.usual:.0f} us ({self.undisturbed:.0f} undisturbed)"


def microseconds(call: Callable[[], Any], calls: int = CALLS) -> Timing:
    """Returns how long a call takes."""
    for _ in range(200):
        call()
    loops, times = [_seconds(_plain_loop)], np.empty((calls // IN_A_ROW, IN_A_ROW))
    for row in times:
        row[:] = [_seconds(call) for _ in range(IN_A_ROW)]
        loops.append(_seconds(_plain_loop))

    # Calls count as undisturbed by the loops around them, not by their own time.
    around = np.maximum(loops[:-1], loops[1:])
    undisturbed = times[np.argsort(around)[: len(times) // 10]]
    return Timing(float(np.median(times)) * 1e6, float(np.median(undisturbed)) * 1e6)


def _plain_loop() -> int:
    total = 0
    for number in range(500):
        total += number
    return total


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


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
        line = f"round {turn}: one observation {acting}"
        if options.peer:
            theirs = processes.run_peer(options.peer)[0][-1]["microseconds"]
            line += f", peer {theirs:.0f} us, {theirs / acting.usual:.2f} times as long"
        line += f"; by an LSTM of 64 {microseconds(lambda: remembering.act(one[::2]))}"
        batch = microseconds(lambda: agent.act(thousand), 1_000)
        alone = microseconds(lambda: bare(tf.constant(thousand)).numpy(), 1_000)
        print(f"{line}; 1,000 {batch}, {batch.usual / alone.usual:.2f} times the bare call's {alone}", flush=True)


if __name__ == "__main__":
    main()
