"""The tasks of off-policy actor-critic. Imports no TensorFlow: tasks are listed and described without it."""

import attrs

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Task, part

PENDULUM = Evaluation(environment=part("gymnasium", id="Pendulum-v1"))

sac = Task(
    name="sac",
    description="SAC in any Gymnasium environment with actions within bounds: --environment MountainCarContinuous-v0.",
    environment=part("gymnasium", id="Pendulum-v1"),
    model=part("mlp", hidden_units=(256, 256)),
    trainer=part("sac"),
    sampler=part("stochastic", random_steps=1_000),
    memory=part("replay", capacity=1_000_000, batch_size=256),
    steps=100_000,
    report_period=2_000,
    execution="xla",  # an update takes so long that it pays on the host too: 150 instead of 105 steps/s on two cores
)

td3 = attrs.evolve(
    sac,
    name="td3",
    description="TD3 in any Gymnasium environment with actions within bounds: --environment MountainCarContinuous-v0.",
    trainer=part("td3"),
    sampler=part("normal-noise", random_steps=1_000),
)

ddpg = attrs.evolve(
    td3,
    name="ddpg",
    description="DDPG, which is TD3 with one critic and without its delay and noise, in any such environment of Gymnasium.",
    trainer=part("td3", num_critics=1, policy_period=1, target_noise=0.0),
)

SMALL = {"learning_rate": 3e-3, "learning_starts": 500, "update_period": 2, "target_update_rate": 0.01}

sac_pendulum = Task(
    name="sac-pendulum",
    description="SAC swings a pendulum up within 20,000 steps; the whole loop is one compiled program.",
    environment=part("pendulum"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("sac", **SMALL),
    sampler=part("stochastic"),
    memory=part("replay", capacity=20_000, batch_size=128),
    steps=20_000,
    report_period=1_000,
    evaluation=PENDULUM,
    threads=1,
)

td3_pendulum = attrs.evolve(
    sac_pendulum,
    name="td3-pendulum",
    description="TD3 swings a pendulum up within 20,000 steps; the whole loop is one compiled program.",
    trainer=part("td3", discount=0.98, **SMALL),
    sampler=part("normal-noise", random_steps=500),
)

sac_mountain_car = Task(
    name="sac-mountain-car",
    description="SAC drives a car up a mountain within 50,000 steps, exploring by noise that goes on from step to step.",
    environment=part("mountain-car-continuous"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part(
        "sac",
        learning_rate=1e-3,
        discount=0.999,  # a reward at the end, two hundred steps away
        num_steps=8,  # without sums of several rewards, half of the seeds learn to stay in the valley
        learning_starts=1_000,
        update_period=4,
        target_update_rate=0.01,
        initial_temperature=0.1,
    ),
    sampler=part("ou-noise", deviation=0.5),
    memory=part("replay", capacity=50_000, batch_size=256),
    steps=50_000,
    report_period=2_500,
    evaluation=Evaluation(environment=part("gymnasium", id="MountainCarContinuous-v0")),
    threads=1,
)

sac_lunar_lander = attrs.evolve(
    sac,
    name="sac-lunar-lander",
    description="SAC lands on the moon by engines with a throttle; needs the extra 'box2d'.",
    environment=part("gymnasium", id="LunarLander-v3", arguments={"continuous": True}),
    model=part("mlp", hidden_units=(128, 128)),
    trainer=part(
        "sac",
        learning_rate=Linear(7.3e-4, 1e-5),
        num_steps=3,  # with 1, one of two seeds learned to hover: landings were too rare to be learned from
        learning_starts=10_000,
        update_period=2,
        target_update_rate=0.01,
    ),
    sampler=part("stochastic", random_steps=10_000),
    memory=part("replay", capacity=1_000_000, batch_size=128),
    steps=500_000,
    report_period=5_000,
    execution="graph",  # as fast as XLA with one thread and these networks, and needs no compilation
    threads=1,
)

sac_half_cheetah = attrs.evolve(
    sac,
    name="sac-half-cheetah",
    description="SAC makes a half cheetah run; needs the extra 'mujoco'.",
    environment=part("gymnasium", id="HalfCheetah-v5"),
    trainer=part("sac", learning_starts=10_000),
    sampler=part("stochastic", random_steps=10_000),
    steps=1_000_000,
    report_period=10_000,
)
