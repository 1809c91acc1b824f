"""A task is data: parts by name, their settings and a budget. Imports no TensorFlow, so that listing it stays instant."""

from agentlab.task import Evaluation, Task, part

my_plugin = Task(
    name="my-plugin",
    description="An advantage actor-critic learns from reward alone to name the symbol shown.",
    environment=part("identity"),
    model=part("my-plugin", units=32),
    trainer=part("my-plugin"),
    sampler=part("stochastic"),
    memory=part("my-plugin"),
    steps=32_000,
    num_environments=8,
    report_period=8_000,
    evaluation=Evaluation(episodes=100),
    execution="graph",
)
