"""The DQN tasks. Imports no TensorFlow: tasks are listed and described without it."""

import attrs

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Task, part

BALANCE = {  # what balances CartPole, whatever the budget
    "huber_delta": None,  # with a Huber loss the values ran away
    "max_gradient_norm": 10.0,
    "target_update_period": 1,
}

dqn_cartpole = Task(
    name="dqn-cartpole",
    description="DQN balances CartPole, tuned for wall-clock time: the whole loop is one compiled program.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part(
        "dqn",
        learning_rate=Linear(2e-3, 1e-5, 14_000),
        discount=0.995,  # the way to the end of the track is hundreds of steps long
        learning_starts=2_000,
        update_period=32,
        target_update_rate=0.05,
        **BALANCE,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.2, 50_000)),  # much exploring keeps failures in the replay
    memory=part("replay", capacity=20_000, batch_size=128),
    steps=450_000,
    num_environments=32,
    report_period=45_000,
    evaluation=Evaluation(environment=part("gymnasium", id="CartPole-v1")),
    threads=1,
)

dqn_cartpole_50k = attrs.evolve(
    dqn_cartpole,
    name="dqn-cartpole-50k",
    description="DQN balances CartPole within 50,000 environment steps, and stops learning once it does.",
    model=part("mlp", hidden_units=(128, 128)),
    trainer=part(
        "dqn",
        learning_rate=Linear(1e-3, 1e-6, 49_000),
        discount=0.99,
        learning_starts=1_000,
        update_period=4,
        updates_per_period=4,
        target_update_rate=0.005,
        **BALANCE,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 5_000)),
    memory=part("replay", capacity=50_000, batch_size=64),
    steps=50_000,
    num_environments=4,
    report_period=2_000,
    evaluation=Evaluation(environment=part("gymnasium", id="CartPole-v1"), period=2_000, stop_return=495.0),
)

dqn = Task(
    name="dqn",
    description="DQN in any Gymnasium environment with discrete actions: --set environment.id=Acrobot-v1.",
    environment=part("gymnasium", id="CartPole-v1"),
    model=part("mlp", hidden_units=(120, 84)),
    trainer=part(
        "dqn", huber_delta=None, max_gradient_norm=10.0, update_period=4, target_update_period=1, target_update_rate=0.02
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 10_000)),
    memory=part("replay", capacity=50_000, batch_size=128),
    steps=50_000,
    report_period=2_000,
    threads=1,
)
