"""PPO, recurrent PPO, SAC, TD3 and GRPO in environment steps per second, in turn with a peer.

    python benchmarks/policy_speed.py ppo --peer "PYTHON sb3_ppo.py speed sb3"
    python benchmarks/policy_speed.py recurrent-ppo --peer "PYTHON benchmarks/peers/sb3_recurrent_ppo.py"
    python benchmarks/policy_speed.py sac --peer "PYTHON sb3_sac.py speed sbx"
    python benchmarks/policy_speed.py grpo --peer "PYTHON benchmarks/peers/torch_grpo.py --updates 300"

The sizes are the peers': for PPO, 128 steps of 8 environments, learned from in 4 epochs of 4 minibatches, by networks of 64 and
64 units or by one LSTM of 64; for SAC and TD3, networks of 256 and 256, batches of 256, and an update a step; for GRPO, task
`gpt-sort`, whose episodes have 13 steps.
"""

from __future__ import annotations

import pathlib

import attrs
import processes

PPO = {
    "num_environments": 8,
    "trainer.rollout_steps": 128,
    "trainer.num_epochs": 4,
    "trainer.num_minibatches": 4,
    "trainer.learning_rate": 2.5e-4,
    "trainer.entropy_weight": 0.01,
}
RECURRENT = {**PPO, "trainer.sequence_length": 128, "model.hidden_units": "[]"}
OFF_POLICY = {"trainer.learning_starts": 500, "trainer.update_period": 1}


@attrs.frozen
class Case:
    """A task, its environment if it isn't the task's own, and how many of its steps warm it up and are timed."""

    task: str
    environment: str | None
    settings: dict[str, object]
    warm_up: int
    timed: int


WORK = {
    "ppo": {
        "device": Case("ppo", "cartpole", PPO, 40_960, 819_200),
        "host": Case("ppo", "CartPole-v1", PPO, 10_240, 81_920),
    },
    "recurrent-ppo": {"device": Case("ppo-lstm-cartpole-no-velocity", None, RECURRENT, 20_480, 204_800)},
    "sac": {
        "device": Case("sac", "pendulum", OFF_POLICY, 1_000, 4_000),
        "host": Case("sac", "Pendulum-v1", OFF_POLICY, 1_000, 4_000),
    },
    "td3": {
        "device": Case("td3", "pendulum", OFF_POLICY, 1_000, 4_000),
        "host": Case("td3", "Pendulum-v1", OFF_POLICY, 1_000, 4_000),
    },
    "grpo": {"device": Case("gpt-sort", None, {}, 133_120, 998_400)},  # 40 updates and 300
}


def steps_per_second(case: Case, directory: pathlib.Path) -> float:
    """Runs a case in a process of its own; returns its rate."""
    always = {"report_period": case.warm_up, "checkpoint_period": 0, "evaluation.episodes": 1}
    environment = ("--environment", case.environment) if case.environment else ()
    options = (*environment, "--steps", str(case.warm_up + case.timed))
    return processes.timed_run(directory, case.task, *options, settings={**case.settings, **always})


def main() -> None:
    parser = processes.rate_parser(__doc__)
    parser.add_argument("work", choices=WORK)
    options = parser.parse_args()
    cases = WORK[options.work]
    compared = {gear: {} for gear in cases}  # a peer's figure is set beside every gear
    processes.compare_rates(options, compared, lambda gear, directory: steps_per_second(cases[gear], directory))


if __name__ == "__main__":
    main()
