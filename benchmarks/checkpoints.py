"""What checkpoints cost a run, in turn with one that takes none but the last, and with a replay that is full; signals.

python benchmarks/checkpoints.py cost --pairs 5
python benchmarks/checkpoints.py replay --transitions 1000000
python benchmarks/checkpoints.py signal
"""

from __future__ import annotations

import argparse
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time

import numpy as np
import processes
import tensorflow as tf

from agentlab.memory import Memory
from agentlab.runs.checkpoints.committer import Committer
from agentlab.runs.composition import resolved
from agentlab.runs.files.run_directory import RunDirectory
from agentlab.runs.session.saving import RunFiles, Saving
from agentlab.runs.session.session import Session
from agentlab.runs.trackers.several import Trackers
from agentlab.system.processes.clock import Clock
from agentlab.tensors.execution import Compiled
from agentlab.types import Step

STACKS = 100  # of frames, added at once


def cost(options: argparse.Namespace) -> None:
    """Prints what a checkpoint every `period` steps adds to the training time and to the whole process."""
    ratios: dict[str, list[float]] = {"train": [], "total": []}
    for pair in range(options.pairs):
        seconds = {}
        for period in (0, options.period):
            with tempfile.TemporaryDirectory() as runs:
                changes = ["--set", f"checkpoint_period={period}"]
                seconds[period] = processes.run_task(pathlib.Path(runs) / "run", options.task, *changes)[0]["seconds"]
        for name, costs in ratios.items():
            costs.append(seconds[options.period][name] / seconds[0][name] - 1)
        times = ", ".join(f"{name} {seconds[0][name]:.2f} s and {seconds[options.period][name]:.2f} s" for name in ratios)
        print(f"pair {pair}: {times}", flush=True)
    for name, costs in ratios.items():
        print(f"{options.task}, every {options.period:,} steps: {name} {statistics.median(costs):+.1%} (median of pairs)")


def replay(options: argparse.Namespace) -> None:
    """Prints what checkpoints of `dqn-breakout` with a full frame replay take from its training: seconds and bytes.

    Between two of them, as many frames of noise as a period has steps are added. What one takes is what the slices of training
    until it is on disk take longer than as many before it.
    """
    changes = {"memory": {"capacity": options.transitions}, "threads": options.threads, "steps": 10 * options.transitions}
    session = Session(resolved("dqn-breakout", changes, None), 0, None, bool)
    assembly, saving = session._assembly, Saving()
    assembly.gear.start()
    begin = time.perf_counter()
    fill(session.agent.memory_variables(), options.transitions)
    print(f"filled in {time.perf_counter() - begin:.0f} s; resident {resident():,} bytes", flush=True)

    def train() -> float:
        begin = time.perf_counter()
        assembly.gear.run(options.turns)
        return time.perf_counter() - begin

    # The first calls compile what learns.
    train(), train()
    with tempfile.TemporaryDirectory(dir=options.directory) as runs:
        directory = RunDirectory.create(pathlib.Path(runs) / "run", "dqn-breakout", 0, b"{}\n")
        files = RunFiles(directory, Trackers({}), Committer(directory, num_kept=3))
        for number in range(options.checkpoints):
            if number:
                add_noise(session.agent.learner.memory, options.period)
            usual = statistics.median(train() for _ in range(options.slices))
            known = inventory(directory.path)
            begin = time.perf_counter()
            saving.save(files, assembly, number, Clock(), "")
            stopped, slices = time.perf_counter() - begin, 0
            while files.committer.committed < number or not slices:
                files.committer.check()
                train()
                slices += 1
            lost = time.perf_counter() - begin - slices * usual
            written = sum(size for name, size in inventory(directory.path).items() if name not in known)
            print(
                f"checkpoint {number}: {lost:.2f} s of training, {stopped:.2f} s of them at once; {written:,} bytes written; "
                f"{slices} slices of {usual:.2f} s; most resident {resident():,} bytes",
                flush=True,
            )
        files.committer.wait()
        directory.close()
    session.close()


def fill(rings: dict[str, tf.Variable], transitions: int) -> None:
    """Fills the variables of a frame replay with a long episode of noise, ten times as fast as step by step."""
    generator, depth = np.random.default_rng(0), 4
    for begin in range(0, transitions + depth, 1_000):
        rows = tf.range(begin, min(begin + 1_000, transitions + depth), dtype=tf.int64)
        frames = generator.integers(0, 256, (len(rows), 84, 84), np.uint8)
        rings["ring/observations/frames"].scatter_update(tf.IndexedSlices(frames, rows))

    # Transition i is made of the frames i to i + 3, and i + 1 to i + 4.
    within = [0, 1, 2, 3, 1, 2, 3, 4]
    for begin in range(0, transitions, 100_000):
        rows = tf.range(begin, min(begin + 100_000, transitions), dtype=tf.int64)
        rings["ring/observations/numbers"].scatter_update(tf.IndexedSlices(rows[:, None] + within, rows))
    rings["ring/observations/stored"].assign(transitions + depth)
    rings["ring/added"].assign(transitions)


def add_noise(memory: Memory, transitions: int) -> None:
    """Adds so many transitions of frames of noise, in episodes of some steps."""
    add, generator = Compiled(memory.add, "graph"), np.random.default_rng(transitions)
    row = tf.zeros([STACKS], tf.int64)
    for block in range(transitions // STACKS):
        frames = generator.integers(0, 256, (STACKS + 4, 84, 84), np.uint8)
        stacks = np.stack([frames[index : index + 4] for index in range(STACKS + 1)])
        ended = np.zeros(STACKS, np.bool_)
        ended[-1] = True
        reward = tf.fill([STACKS], float(block % 7))
        observation, led_to = tf.constant(stacks[:-1]), tf.constant(stacks[1:])
        acted = tf.ones([STACKS], tf.bool)
        add(Step(observation, row, reward, tf.ones([STACKS]), led_to, tf.constant(ended), acted), row)


def inventory(directory: pathlib.Path) -> dict[str, int]:
    """Returns the bytes of every file below a directory, by path."""
    return {str(path): path.stat().st_size for path in directory.rglob("*") if path.is_file()}


def resident() -> int:
    """Returns the most bytes of this process that were resident so far."""
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def after_signal(_: argparse.Namespace) -> None:
    """Prints how long it takes from a SIGTERM to the end of the process, checkpoint included."""
    for task in ("dqn-cartpole", "classifier-digits", "dqn"):
        with tempfile.TemporaryDirectory() as runs:
            directory = pathlib.Path(runs) / "run"
            command = processes.run_command(directory, task, "--steps", "1000000000")
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            metrics = directory / "metrics.jsonl"
            while not metrics.exists() or metrics.stat().st_size == 0:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            code = process.wait()
            names = [path.name for path in (directory / "checkpoints").iterdir()]
            print(f"{task}: exit code {code} after {time.monotonic() - begin:.2f} s, kept {', '.join(names)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("cost", "replay", "signal"))
    parser.add_argument("--task", default="dqn-cartpole")
    parser.add_argument("--period", type=int, default=10_000, help="environment steps (default: 10,000)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--transitions", type=int, default=100_000, help="in hundreds, in the replay (default: 100,000)")
    parser.add_argument("--checkpoints", type=int, default=4, help="of the replay (default: 4)")
    parser.add_argument("--slices", type=int, default=20, help="of training that are timed, at least (default: 20)")
    parser.add_argument("--turns", type=int, default=16, help="of a slice (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="of the training (default: 2)")
    parser.add_argument("--directory", help="where the replay's run is written (default: that of temporary files)")
    options = parser.parse_args()
    {"cost": cost, "replay": replay, "signal": after_signal}[options.figure](options)


if __name__ == "__main__":
    main()
