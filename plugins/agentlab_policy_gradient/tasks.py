"""Policy gradient tasks. Imports no TensorFlow: tasks are listed and described without it."""

import attrs

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Normalization, Part, Task, part


def judged_in(environment: str) -> Evaluation:
    """Returns the evaluation over 100 episodes of Gymnasium's own environment of this id."""
    return Evaluation(environment=part("gymnasium", id=environment))


def ppo_trainer(**settings: object) -> Part:
    """Returns the PPO trainer, by default with a learning rate that falls over the budget."""
    return part("ppo", **{"learning_rate": Linear(1e-3, 1e-5), **settings})


ppo = Task(
    name="ppo",
    description="PPO in any Gymnasium environment: --environment Acrobot-v1.",
    environment=part("gymnasium", id="CartPole-v1"),
    model=part("mlp", hidden_units=(64, 64), activation="tanh"),
    trainer=ppo_trainer(num_epochs=10),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=200_000,
    num_environments=8,
    report_period=10_000,
    threads=1,
)

ppo_images = attrs.evolve(
    ppo,
    name="ppo-images",
    description="PPO in any Gymnasium environment that shows images: --environment CarRacing-v3, of the extra 'box2d'.",
    environment=part("gymnasium", id="CarRacing-v3"),
    model=part("nature-cnn", channels="auto"),
    trainer=ppo_trainer(  # about the settings of the paper for Atari's games
        learning_rate=Linear(2.5e-4, 1e-5), shared_torso=True, num_epochs=4, clip=0.1, entropy_weight=0.01
    ),
    steps=500_000,
    threads=0,  # convolutions use all cores
    onednn=True,
    normalization=Normalization(rewards=True),
)

ppo_cartpole = attrs.evolve(
    ppo,
    name="ppo-cartpole",
    description="PPO balances CartPole within 100,000 environment steps; the whole loop is one compiled program.",
    environment=part("cartpole"),
    trainer=ppo_trainer(
        rollout_steps=32, discount=0.98, trace_decay=0.8, num_epochs=20, num_minibatches=1, clip=Linear(0.2, 0.01)
    ),
    steps=100_000,
    evaluation=judged_in("CartPole-v1"),
)

ppo_acrobot = attrs.evolve(
    ppo,
    name="ppo-acrobot",
    description="PPO swings Acrobot up; the whole loop is one compiled program.",
    environment=part("acrobot"),
    trainer=ppo_trainer(trace_decay=0.94, num_minibatches=16),
    steps=500_000,
    num_environments=16,
    report_period=50_000,
    evaluation=judged_in("Acrobot-v1"),
)

ppo_pendulum = attrs.evolve(
    ppo,
    name="ppo-pendulum",
    description="PPO swings a pendulum up and holds it, within 100,000 environment steps; the whole loop is one program.",
    environment=part("pendulum"),
    trainer=ppo_trainer(
        value_learning_rate=3e-3,  # returns go down to -300, which values have to reach
        discount=0.95,
        num_epochs=10,
        num_minibatches=16,
    ),
    steps=100_000,
    evaluation=judged_in("Pendulum-v1"),
)

ppo_mountain_car = attrs.evolve(
    ppo,
    name="ppo-mountain-car",
    description="PPO drives a car up a mountain by a throttle, within 50,000 environment steps; the whole loop is one program.",
    environment=part("mountain-car-continuous"),
    trainer=ppo_trainer(
        discount=0.9999,  # a reward at the end, hundreds of steps away
        initial_deviation=2.0,  # full throttle either way: less seldom gets up the mountain by chance
        num_epochs=10,
        num_minibatches=16,
    ),
    steps=50_000,
    report_period=5_000,
    evaluation=judged_in("MountainCarContinuous-v0"),
    normalization=Normalization(observations=True, rewards=True),
)

ppo_lunar_lander = attrs.evolve(
    ppo,
    name="ppo-lunar-lander",
    description="PPO lands on the moon; needs Gymnasium's extra 'box2d'.",
    environment=part("gymnasium", id="LunarLander-v3"),
    trainer=ppo_trainer(discount=0.999, trace_decay=0.98, num_minibatches=16, entropy_weight=0.01),
    steps=1_000_000,
    num_environments=16,
    report_period=50_000,
)

ppo_minatar_breakout = attrs.evolve(
    ppo,
    name="ppo-minatar-breakout",
    description="PPO plays MinAtar's Breakout, 10 x 10 pixels; the whole loop is one program.",
    environment=part("minatar-breakout"),
    model=part("mlp", hidden_units=(128, 128)),
    trainer=ppo_trainer(  # with 5e-4 at the start, one seed reached 21; with this rate, three reached 47, 50 and 115
        learning_rate=Linear(2e-3, 1e-5), num_minibatches=8, entropy_weight=0.01
    ),
    steps=10_000_000,
    num_environments=64,
    report_period=500_000,
)

MEMORY = part("lstm", units=64, hidden_units=(64,))  # of velocities, or of a symbol

ppo_lstm_cartpole_no_velocity = attrs.evolve(
    ppo,
    name="ppo-lstm-cartpole-no-velocity",
    description="PPO with an LSTM balances CartPole without being shown its velocities, within 100,000 environment steps.",
    environment=part("cartpole-no-velocity"),
    model=MEMORY,
    trainer=ppo_trainer(shared_torso=True, sequence_length=32, num_epochs=10, clip=Linear(0.2, 0.01)),
    steps=100_000,
    normalization=Normalization(rewards=True),
)

ppo_lstm_pendulum_no_velocity = attrs.evolve(
    ppo_lstm_cartpole_no_velocity,
    name="ppo-lstm-pendulum-no-velocity",
    description="PPO with an LSTM swings up a pendulum without being shown its speed, within 100,000 environment steps.",
    environment=part("pendulum-no-velocity"),
    trainer=ppo_trainer(
        shared_torso=True,
        value_weight=2.0,
        sequence_length=16,  # a speed shows within a few steps
        discount=0.95,
        num_epochs=5,
        num_minibatches=16,
    ),
)

ppo_lstm_recall = attrs.evolve(
    ppo,
    name="ppo-lstm-recall",
    description="PPO with an LSTM names a symbol that was shown 50 steps ago.",
    environment=part("recall"),
    model=MEMORY,
    trainer=ppo_trainer(shared_torso=True, rollout_steps=102, num_epochs=10, clip=Linear(0.2, 0.01), entropy_weight=0.01),
    steps=500_000,
    num_environments=32,
    report_period=25_000,
)

a2c = attrs.evolve(
    ppo,
    name="a2c",
    description="Advantage actor-critic in any Gymnasium environment: --environment Acrobot-v1.",
    trainer=part("a2c", learning_rate=Linear(7e-4, 1e-5)),
    steps=500_000,
    report_period=25_000,
)

a2c_cartpole = attrs.evolve(
    a2c,
    name="a2c-cartpole",
    description="Advantage actor-critic balances CartPole within 500,000 environment steps; the whole loop is one program.",
    environment=part("cartpole"),
    report_period=50_000,
    evaluation=judged_in("CartPole-v1"),
)

a2c_lstm_cartpole_no_velocity = attrs.evolve(
    a2c_cartpole,
    name="a2c-lstm-cartpole-no-velocity",
    description="Advantage actor-critic with an LSTM balances CartPole without being shown its velocities.",
    environment=part("cartpole-no-velocity"),
    model=MEMORY,
    trainer=part("a2c", learning_rate=Linear(2e-3, 1e-5), shared_torso=True, rollout_steps=16, trace_decay=0.95),
    evaluation=Evaluation(),
    normalization=Normalization(rewards=True),
)

reinforce_cartpole = attrs.evolve(
    a2c_cartpole,
    name="reinforce-cartpole",
    description="REINFORCE with baseline balances CartPole, learning from whole returns; the whole loop is one program.",
    trainer=part("reinforce", learning_rate=Linear(5e-3, 1e-5)),
    num_environments=32,
)
