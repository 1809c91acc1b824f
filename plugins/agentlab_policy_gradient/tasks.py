"""Policy gradient tasks. Imports no TensorFlow: tasks are listed and described without it."""

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Task, part

CARTPOLE = Evaluation(environment=part("gymnasium", id="CartPole-v1"))

ppo = Task(
    name="ppo",
    description="PPO in any Gymnasium environment: --set environment.id=Acrobot-v1.",
    environment=part("gymnasium", id="CartPole-v1"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=part("ppo", learning_rate=Linear(1e-3, 1e-5), num_epochs=10),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=200_000,
    num_environments=8,
    report_period=10_000,
    threads=1,
)

ppo_cartpole = Task(
    name="ppo-cartpole",
    description="PPO balances CartPole within 100,000 environment steps; the whole loop is one compiled program.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=part(
        "ppo",
        learning_rate=Linear(1e-3, 1e-5),
        rollout_steps=32,
        discount=0.98,
        trace_decay=0.8,
        num_epochs=20,
        num_minibatches=1,
        clip=Linear(0.2, 0.01),
    ),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=100_000,
    num_environments=8,
    report_period=10_000,
    evaluation=CARTPOLE,
    threads=1,
)

a2c = Task(
    name="a2c",
    description="Advantage actor-critic in any Gymnasium environment: --set environment.id=Acrobot-v1.",
    environment=part("gymnasium", id="CartPole-v1"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=part("a2c", learning_rate=Linear(7e-4, 1e-5)),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=500_000,
    num_environments=8,
    report_period=25_000,
    threads=1,
)

a2c_cartpole = Task(
    name="a2c-cartpole",
    description="Advantage actor-critic balances CartPole within 500,000 environment steps; the whole loop is one program.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=part("a2c", learning_rate=Linear(7e-4, 1e-5)),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=500_000,
    num_environments=8,
    report_period=50_000,
    evaluation=CARTPOLE,
    threads=1,
)

reinforce_cartpole = Task(
    name="reinforce-cartpole",
    description="REINFORCE with baseline balances CartPole, learning from whole returns; the whole loop is one program.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=part("reinforce", learning_rate=Linear(5e-3, 1e-5)),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=500_000,
    num_environments=32,
    report_period=50_000,
    evaluation=CARTPOLE,
    threads=1,
)
