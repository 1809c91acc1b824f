"""The tasks of off-policy actor-critic. Imports no TensorFlow: tasks are listed and described without it."""

import attrs

from agentlab.task import Evaluation, Task, part

PENDULUM = Evaluation(environment=part("gymnasium", id="Pendulum-v1"))

sac = Task(
    name="sac",
    description="SAC in any Gymnasium environment with actions within bounds: --set environment.id=MountainCarContinuous-v0.",
    environment=part("gymnasium", id="Pendulum-v1"),
    model=part("mlp", hidden_units=(256, 256)),
    trainer=part("sac"),
    sampler=part("stochastic", random_steps=1_000),
    memory=part("replay", capacity=1_000_000, batch_size=256),
    steps=100_000,
    report_period=2_000,
)

td3 = attrs.evolve(
    sac,
    name="td3",
    description="TD3 in any Gymnasium environment with actions within bounds: --set environment.id=MountainCarContinuous-v0.",
    trainer=part("td3"),
    sampler=part("normal-noise", random_steps=1_000),
)

ddpg = attrs.evolve(
    td3,
    name="ddpg",
    description="DDPG, which is TD3 with one critic and without its delay and noise, in any such environment of Gymnasium.",
    trainer=part("td3", num_critics=1, policy_period=1, target_noise=0.0),
)

sac_pendulum = Task(
    name="sac-pendulum",
    description="SAC swings a pendulum up within 20,000 steps; the whole loop is one compiled program.",
    environment=part("pendulum"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("sac", learning_rate=3e-3, learning_starts=500, target_update_rate=0.01),
    sampler=part("stochastic"),
    memory=part("replay", capacity=20_000, batch_size=128),
    steps=20_000,
    report_period=1_000,
    evaluation=PENDULUM,
)

td3_pendulum = attrs.evolve(
    sac_pendulum,
    name="td3-pendulum",
    description="TD3 swings a pendulum up within 20,000 steps; the whole loop is one compiled program.",
    trainer=part("td3", learning_rate=3e-3, learning_starts=500, target_update_rate=0.01),
    sampler=part("normal-noise", random_steps=500),
)
