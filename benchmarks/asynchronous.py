"""DQN in 8 environments in processes of their own, whose steps take a millisecond: steps per second, in turn with a peer.

    python benchmarks/asynchronous.py --peer "PYTHON benchmarks/peers/sb3_asynchronous.py"

Sleeping-v0 leaves the processor to others, as one that waits for a device or a network; Spinning-v0 computes. The limit is
what the environments alone allow: a millisecond a turn, or 8 divided by the processors.
"""

from __future__ import annotations

import pathlib

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
    file = pathlib.Path(__file__).with_name("slow_environments.py")
    steps = str(WARM_UP + timed)
    return processes.timed_run(directory, "dqn", "--environment", f"{file}:{environment}", "--steps", steps, settings=settings)


def main() -> None:
    peers = {case: {"environment": environment, "period": period} for case, (environment, period, _) in CASES.items()}
    processes.compare_rates(processes.rate_parser(__doc__, "environment", "period").parse_args(), peers, steps_per_second)


if __name__ == "__main__":
    main()
