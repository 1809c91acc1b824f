"""Breakout from pixels, in environment steps per second: learning in turn with a peer, and the environment alone.

python benchmarks/breakout.py learning --peer "PYTHON benchmarks/peers/sb3_breakout.py"
python benchmarks/breakout.py environment
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import processes

ROWS = 8
SETTINGS = {
    "trainer.learning_starts": 2_000,
    "memory.capacity": 20_000,
    "num_environments": ROWS,
    "report_period": 2_400,
    "evaluation.episodes": 1,
    "evaluation.environment": '{name="atari", arguments={max_num_frames_per_episode=400}}',
}
WARM_UP, TIMED = 2_400, 4_800  # environment steps


def learning(options: argparse.Namespace) -> None:
    """Prints steps per second while `dqn-breakout` learns, batch 32, an update per 4 steps, and the peer's."""
    ratios = []
    for turn in range(options.rounds):
        peer = processes.run_peer(options.peer)[0][-1]["env_steps_per_second"] if options.peer else None
        with tempfile.TemporaryDirectory() as runs:
            run = pathlib.Path(runs) / "run"
            rate = processes.timed_run(run, "dqn-breakout", "--steps", str(WARM_UP + TIMED), settings=SETTINGS)
        line = f"round {turn}: {rate:,.0f} steps/s"
        if peer:
            ratios.append(rate / peer)
            line += f"; peer {peer:,.0f}, ratio {ratios[-1]:.2f}"
        print(line, flush=True)
    if ratios:
        print(f"{statistics.median(ratios):.2f} times the peer")


def environment(options: argparse.Namespace) -> None:
    """Prints steps per second of random actions, through environment `atari` and through ALE's own, in turn."""
    from ale_py import AtariVectorEnv

    from agentlab_envs.atari import PRESETS, Atari

    ours = Atari("breakout", ROWS)
    theirs = AtariVectorEnv("breakout", ROWS, **PRESETS["deepmind"], autoreset_mode="SameStep")
    ours.reset(0), theirs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 4, (400, ROWS))
    ratios = []
    for turn in range(options.rounds * 3):
        rates = []
        for step in (theirs.step, ours.step):
            begin = time.perf_counter()
            for action in actions:
                step(action)
            rates.append(actions.size / (time.perf_counter() - begin))
        ratios.append(rates[1] / rates[0])
        print(f"round {turn}: {rates[1]:,.0f} steps/s; ALE's own {rates[0]:,.0f}, ratio {ratios[-1]:.3f}", flush=True)
    print(f"{statistics.median(ratios):.3f} times ALE's own")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["learning", "environment"])
    parser.add_argument("--rounds", type=int, default=3, help="how often, in turn with the peer (default: 3)")
    parser.add_argument("--peer", metavar="COMMAND", help=f"{processes.PEER_HELP}: env_steps_per_second")
    options = parser.parse_args()
    {"learning": learning, "environment": environment}[options.what](options)


if __name__ == "__main__":
    main()
