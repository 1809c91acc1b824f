"""Replay memories: the cost of priorities inside a compiled loop, many Atari transitions in memory, and in a checkpoint.

python benchmarks/replay.py cost
python benchmarks/replay.py frames --transitions 1000000
python benchmarks/replay.py checkpoint --transitions 200000
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.memory import Layout, Memory, Request
from agentlab.runs.checkpoints import Checkpoints, snapshot
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors import variables
from agentlab.tensors.execution import Compiled, GraphCall, compiled, repeat
from agentlab.types import Step
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay

CARTPOLE = EnvironmentSpec("cartpole", Array((4,)), Discrete(2))
ATARI = EnvironmentSpec("atari", Array((4, 84, 84), "uint8", 0, 255), Discrete(4))
KEY = seeds.stream(0, "memory")
CAPACITY, ROWS, BATCH = 50_000, 4, 64
BLOCK = 100  # transitions added at once; blocks of thousands would themselves take much of the memory measured


def turns_of(memory: Memory, execution: str) -> Compiled:
    """Returns a compiled loop of so many turns: add four transitions, draw a batch, take in errors."""
    row = tf.range(ROWS, dtype=tf.int64)

    def turn(carry: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        index, total = carry
        observation = tf.fill([ROWS, 4], tf.cast(index, tf.float32))
        reward, ended = tf.ones([ROWS]), tf.zeros([ROWS], tf.bool)
        acted = tf.ones([ROWS], tf.bool)
        memory.add(Step(observation, tf.zeros([ROWS], tf.int64), reward, reward, observation, ended, acted), row)
        batch = memory.sample(seeds.at(KEY, index))
        error = tf.reduce_mean(tf.abs(batch.observation - batch.next_observation + 1.0), axis=1)
        memory.update_priorities(batch.place, error)
        read = [tf.reduce_sum(tf.cast(leaf, tf.float32)) for leaf in tf.nest.flatten(batch)]  # else XLA leaves the reading out
        return index + 1, total + tf.add_n(read)

    return compiled(lambda count: repeat(turn, (tf.constant(0, tf.int64), tf.constant(0.0)), count)[1], execution)


def cost() -> None:
    """Prints the microseconds of a turn with each memory, in turn with each other."""
    for execution in ("xla", "graph"):
        loops = {}
        for kind in (UniformReplay, PrioritizedReplay):
            memory = kind(CAPACITY, BATCH)
            memory.build(Layout(CARTPOLE, ROWS, Request(priority=True)))
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


def filled(transitions: int) -> tuple[UniformReplay, float]:
    """Returns a full frame replay of frames of noise, and how many microseconds it took to add a transition."""
    memory = UniformReplay(transitions, 32, observations="frames")
    memory.build(Layout(ATARI, 1))
    add = Compiled(memory.add, "graph")
    frames = np.random.default_rng(0).integers(0, 256, (BLOCK + 4, 84, 84), np.uint8)
    stacks = np.stack([frames[index : index + 4] for index in range(BLOCK + 1)])
    row = tf.zeros([BLOCK], tf.int64)
    begin = time.perf_counter()
    for block in range(transitions // BLOCK):
        reward = tf.fill([BLOCK], float(block))
        ended = np.zeros(BLOCK, np.bool_)
        ended[-1] = True
        observation, led_to = tf.constant(stacks[:-1]), tf.constant(stacks[1:])
        add(Step(observation, row, reward, tf.ones([BLOCK]), led_to, tf.constant(ended), tf.ones([BLOCK], tf.bool)), row)
    return memory, (time.perf_counter() - begin) / transitions * 1e6


def frames(transitions: int) -> None:
    """Fills a frame replay; prints resident bytes and the time to draw a batch of 32."""
    memory, added = filled(transitions)
    sample = GraphCall(lambda step: tf.nest.flatten(memory.sample(seeds.at(KEY, step))), [tf.TensorSpec([], tf.int64)])
    times = []
    for step in range(1_000):
        begin = time.perf_counter()
        sample(tf.constant(step, tf.int64))[0].numpy()
        times.append(time.perf_counter() - begin)
    first, end = (int(bound) for bound in memory._ring.bounds())
    print(f"{end - first:,} transitions; at most {resident('VmHWM'):,} bytes resident; {added:.0f} us to add one")
    print(f"{statistics.median(times) * 1e3:.3f} ms to draw 32")


def checkpoint(transitions: int) -> None:
    """Saves a full frame replay as a run's checkpoint does, and reads it into another; prints seconds and resident bytes."""
    memory, _ = filled(transitions)
    drawn = memory.sample(seeds.at(KEY, 0))
    before = since_now()
    with tempfile.TemporaryDirectory() as directory:
        checkpoints = Checkpoints(pathlib.Path(directory))
        begin = time.perf_counter()
        appended = memory.appended_rows()
        held = {name: snapshot.copied_ring(ring, appended.get(name), None) for name, ring in memory.variables().items()}
        groups = snapshot.without_unused_rows({"memory": held})
        checkpoints.save(0, groups, {"metrics_bytes": 0, "best": None, "exact": True})
        saved, most = time.perf_counter() - begin, resident("VmHWM")
        del held, groups, memory
        between = since_now()
        size = sum(path.stat().st_size for path in pathlib.Path(directory).rglob("*") if path.is_file())
        other = UniformReplay(transitions, 32, observations="frames")
        other.build(Layout(ATARI, 1))
        begin = time.perf_counter()
        state = checkpoints.open(0)
        state.verify()
        variables.assign_by_rows(state.file("memory"), other.variables())
        read = time.perf_counter() - begin
    tf.nest.map_structure(np.testing.assert_array_equal, other.sample(seeds.at(KEY, 0)), drawn)
    print(f"{size:,} bytes on disk; {saved:.1f} s to save, {read:.1f} s to verify and read back; batches are the same")
    print(f"resident: {before:,} bytes with it, at most {most:,} while it was saved")
    print(f"resident: {between:,} bytes without it, at most {resident('VmHWM'):,} while another was read")


def since_now() -> int:
    """Returns this process's resident bytes, and has "VmHWM" begin anew."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(field: str) -> int:
    """Returns this process's resident bytes: "VmRSS" for now, "VmHWM" for the most so far."""
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "frames", "checkpoint"])
    parser.add_argument("--transitions", type=int, default=200_000, help="in hundreds, of frames (default: 200,000)")
    options = parser.parse_args()
    if options.what == "cost":
        cost()
    else:
        {"frames": frames, "checkpoint": checkpoint}[options.what](options.transitions)
