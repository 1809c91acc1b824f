"""A task is data: parts by name, their settings and a budget. Imports no TensorFlow, so that listing it stays instant."""

from agentlab.task import Evaluation, Task, part

my_plugin = Task(
    name="my-plugin",
    description="DQN learns to name the symbol shown, and a tracker writes down its best report.",
    environment=part("identity"),
    model=part("mlp", hidden_units=(32,)),
    trainer=part("dqn", discount=0.5, learning_starts=200, update_period=8, target_update_period=50),
    sampler=part("epsilon-greedy", epsilon=0.2),
    memory=part("replay", capacity=5_000, batch_size=64),
    steps=16_000,
    num_environments=8,
    report_period=4_000,
    evaluation=Evaluation(episodes=100),
    execution="graph",
    trackers={"my-plugin": part("my-plugin")},
)
