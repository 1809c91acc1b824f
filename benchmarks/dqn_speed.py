"""The same DQN on CartPole as other libraries' usual one, in environment steps per second: both gears, in turn with a peer.

python benchmarks/dqn_speed.py --peer "PYTHON sb3_dqn.py matched"
"""

from __future__ import annotations

import pathlib

import processes

MATCHED = {
    "model.hidden_units": "[120, 84]",
    "memory.capacity": "10000",
    "memory.batch_size": "128",
    "trainer.learning_rate": "2.5e-4",
    "trainer.learning_starts": "1000",
    "trainer.discount": "0.99",
    "trainer.huber_delta": "1.0",
    "trainer.double": "false",
    "trainer.num_steps": "1",
    "trainer.max_gradient_norm": "10.0",
    "normalization.observations": "false",
    "normalization.images": "false",
    "checkpoint_period": "0",  # the peer saves nothing on its way either
    "evaluation.episodes": "1",
}
TARGET_STEPS = 500  # environment steps between two copies of the target network
CASES = {  # environment, environments side by side, environment steps per update, steps to warm up, steps to time
    "host, 1 update per step": ("gymnasium", 1, 1, 1_500, 6_000),
    "host, 1 update per 10 steps": ("gymnasium", 1, 10, 2_000, 20_000),
    "device, 1 update per 10 steps": ("cartpole", 10, 10, 20_000, 400_000),
}


def steps_per_second(case: str, directory: pathlib.Path) -> float:
    """Runs one case in a process of its own; returns its rate between the first line of metrics and the last."""
    environment, rows, period, warm_up, timed = CASES[case]
    settings = {
        **MATCHED,
        "num_environments": rows,
        "trainer.update_period": period,
        "trainer.target_update_period": TARGET_STEPS // period,
        "report_period": warm_up,
    }
    options = ("--environment", environment, "--steps", str(warm_up + timed))
    return processes.timed_run(directory, "dqn", *options, settings=settings)


def main() -> None:
    peers = {case: {"period": period} for case, (_, _, period, _, _) in CASES.items()}
    processes.compare_rates(processes.rate_parser(__doc__, "period").parse_args(), peers, steps_per_second)


if __name__ == "__main__":
    main()
