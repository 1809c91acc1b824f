"""Replay memories: the cost of priorities inside a compiled loop, and a million Atari transitions in memory.

python benchmarks/replay.py cost
python benchmarks/replay.py million
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.execution import Compiled, GraphCall, compiled, repeat
from agentlab.memory import Memory
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import Horizon, Transition
from agentlab_dqn.prioritized import PrioritizedReplay
from agentlab_dqn.replay import UniformReplay

CARTPOLE = EnvironmentSpec("cartpole", Array((4,)), Discrete(2))
ATARI = EnvironmentSpec("atari", Array((4, 84, 84), "uint8", 0, 255), Discrete(4))
KEY = seeds.stream(0, "memory")
CAPACITY, ROWS, BATCH = 50_000, 4, 64


def turns_of(memory: Memory, execution: str) -> Compiled:
    """Returns a compiled loop of so many turns: add four transitions, draw a batch, take in errors."""
    row = tf.range(ROWS, dtype=tf.int64)

    def turn(carry: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        index, total = carry
        shown = tf.fill([ROWS, 4], tf.cast(index, tf.float32))
        reward, ended = tf.ones([ROWS]), tf.zeros([ROWS], tf.bool)
        memory.add(Transition(shown, tf.zeros([ROWS], tf.int64), reward, reward, shown), ended, row)
        batch = memory.sample(seeds.at(KEY, index))
        memory.learned(batch, {"error": tf.reduce_mean(tf.abs(batch.observation - batch.next_observation + 1.0), axis=1)})
        read = [tf.reduce_sum(tf.cast(leaf, tf.float32)) for leaf in tf.nest.flatten(batch)]  # else XLA leaves the reading out
        return index + 1, total + tf.add_n(read)

    return compiled(lambda count: repeat(turn, (tf.constant(0, tf.int64), tf.constant(0.0)), count)[1], execution)


def cost() -> None:
    """Prints the microseconds of a turn with each memory, in turn with each other."""
    for execution in ("xla", "graph"):
        loops = {}
        for kind in (UniformReplay, PrioritizedReplay):
            memory = kind(CAPACITY, BATCH)
            memory.build(CARTPOLE, ROWS, Horizon())
            loops[kind.__name__] = turns_of(memory, execution)
        times: dict[str, list[float]] = {name: [] for name in loops}
        for loop in loops.values():
            loop(tf.constant(CAPACITY // ROWS, tf.int64)).numpy()
        for _ in range(7):
            for name, loop in loops.items():
                begin = time.perf_counter()
                loop(tf.constant(2_000, tf.int64)).numpy()
                times[name].append((time.perf_counter() - begin) / 2_000 * 1e6)
        uniform, prioritized = (statistics.median(values) for values in times.values())
        print(
            f"{execution}: {uniform:.1f} us a turn, {prioritized:.1f} us prioritised: {prioritized / uniform:.2f} times",
            flush=True,
        )


def million() -> None:
    """Fills a frame replay with a million transitions; prints resident bytes and the time to draw a batch of 32."""
    memory = UniformReplay(1_000_000, 32, observations="frames")
    memory.build(ATARI, 1, Horizon())
    add = Compiled(memory.add, "graph")
    frames = np.random.default_rng(0).integers(0, 256, (1_004, 84, 84), np.uint8)
    stacks = np.stack([frames[index : index + 4] for index in range(1_001)])
    count, row = 1_000, tf.zeros([1_000], tf.int64)
    begin = time.perf_counter()
    for block in range(1_000_000 // count):
        reward = tf.fill([count], float(block))
        ended = np.zeros(count, np.bool_)
        ended[-1] = True
        whole = Transition(tf.constant(stacks[:-1]), row, reward, tf.ones([count]), tf.constant(stacks[1:]))
        add(whole, tf.constant(ended), row)
    added = time.perf_counter() - begin
    sample = GraphCall(lambda step: tf.nest.flatten(memory.sample(seeds.at(KEY, step))), [tf.TensorSpec([], tf.int64)])
    times = []
    for step in range(1_000):
        begin = time.perf_counter()
        sample(tf.constant(step, tf.int64))[0].numpy()
        times.append(time.perf_counter() - begin)
    first, end = (int(bound) for bound in memory._ring.bounds())
    print(f"{end - first:,} transitions; {resident():,} bytes resident; {added:.0f} us to add one")
    print(f"{statistics.median(times) * 1e3:.3f} ms to draw 32")


def resident() -> int:
    """Returns this process's resident bytes, at their largest."""
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "million"])
    {"cost": cost, "million": million}[parser.parse_args().what]()
