"""CartPole by policy gradients. Imports no TensorFlow, so that listing the tasks stays instant."""

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Task, part

actor_critic_cartpole = Task(
    name="actor-critic-cartpole",
    description="Advantage actor-critic balances CartPole, learning from every turn.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64,), activation="tanh"),
    # The critic learns the faster of the two: before it knows better, every action seems an advantage, and one takes over.
    trainer=part("actor-critic", learning_rate=Linear(3e-4, 1e-5, 12_500), critic_learning_rate=1e-2, max_gradient_norm=0.5),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=400_000,
    num_environments=32,
    report_period=40_000,
    evaluation=Evaluation(environment=part("cartpole"), episodes=100),
)

vanilla_policy_gradient_cartpole = Task(
    name="vanilla-policy-gradient-cartpole",
    description="REINFORCE with baseline balances CartPole, learning from whole returns.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64,), activation="tanh"),
    trainer=part("vanilla-policy-gradient", learning_rate=5e-3, critic_learning_rate=1e-2),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=800_000,
    num_environments=32,
    report_period=80_000,
    evaluation=Evaluation(environment=part("cartpole"), episodes=100),
)
