"""DQN in 8 environments in processes of their own, whose steps take a millisecond: steps per second, in turn with a peer.

    python benchmarks/asynchronous.py --peer "PYTHON benchmarks/peers/sb3_asynchronous.py"

Sleeping-v0 leaves the processor to others, as one that waits for a device or a network; Spinning-v0 computes. The limit is
what the environments alone allow: a millisecond a turn, or 8 divided by the processors.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile

import dqn_speed
import processes

ENVIRONMENTS = 8
WARM_UP = 1_600  # environment steps
CASES = {  # environment, environment steps per update, and to time
    "sleeping, 1 update per step": ("Sleeping-v0", 1, 6_400),
    "sleeping, 1 update per 8 steps": ("Sleeping-v0", 8, 12_800),
    "spinning, 1 update per step": ("Spinning-v0", 1, 6_400),
    "spinning, 1 update per 8 steps": ("Spinning-v0", 8, 12_800),
}


def steps_per_second(case: str, directory: pathlib.Path) -> float:
    """Runs one case in a process of its own; returns its rate between the first line of metrics and the last."""
    environment, period, timed = CASES[case]
    settings = {
        **dqn_speed.MATCHED,
        "environment.vectorization": "async",
        "num_environments": ENVIRONMENTS,
        "threads": 1,  # as many as the peer's
        "trainer.update_period": period,
        "trainer.target_update_period": dqn_speed.TARGET_STEPS // period,
        "report_period": WARM_UP,
    }
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    file = pathlib.Path(__file__).with_name("slow_environments.py")
    steps = str(WARM_UP + timed)
    processes.run_task(directory, "dqn", "--environment", f"{file}:{environment}", "--steps", steps, *changes)
    return dqn_speed.rate(directory)


def main() -> None:
    options = _options()
    rates: dict[str, list[float]] = {case: [] for case in CASES}
    ratios: dict[str, list[float]] = {case: [] for case in CASES}
    for turn in range(options.rounds):
        figures = processes.run_peer(options.peer)[0] if options.peer else []
        theirs = {(figure["environment"], figure["period"]): figure["env_steps_per_second"] for figure in figures}
        for case, (environment, period, _) in CASES.items():
            with tempfile.TemporaryDirectory() as runs:
                rates[case].append(steps_per_second(case, pathlib.Path(runs) / "run"))
            line = f"round {turn}: {case}: {rates[case][-1]:,.0f} steps/s"
            if peer := theirs.get((environment, period)):
                ratios[case].append(rates[case][-1] / peer)
                line += f"; peer {peer:,.0f}, ratio {ratios[case][-1]:.2f}"
            print(line, flush=True)
    for case in CASES:
        compared = f", {statistics.median(ratios[case]):.2f} times the peer" if ratios[case] else ""
        print(f"{case}: median {statistics.median(rates[case]):,.0f} steps/s{compared}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often, in turn with the peer (default: 3)")
    parser.add_argument(
        "--peer", metavar="COMMAND", help=f"{processes.PEER_HELP}: environment, period and env_steps_per_second"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
