"""A task is data: parts by name, their settings and a budget. Imports no TensorFlow, so that listing it stays instant."""

from agentlab.task import Evaluation, Task, part

my_plugin = Task(
    name="my-plugin",
    description="DQN learns which end of the corridor pays.",
    environment=part("my-plugin"),
    model=part("mlp", hidden_units=(32,)),
    trainer=part("dqn", discount=0.9, learning_starts=200, update_period=8, target_update_period=50),
    sampler=part("epsilon-greedy", epsilon=0.3),
    memory=part("replay", capacity=5_000, batch_size=64),
    steps=8_000,
    num_environments=8,
    report_period=2_000,
    evaluation=Evaluation(episodes=100),
    execution="graph",
)
