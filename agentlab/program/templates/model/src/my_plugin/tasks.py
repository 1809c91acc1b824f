"""A task is data: parts by name, their settings and a budget. Imports no TensorFlow, so that listing it stays instant."""

from agentlab.task import Evaluation, Task, part

my_plugin = Task(
    name="my-plugin",
    description="A residual perceptron classifies scikit-learn's 8 x 8 digits.",
    environment=part("images", data="digits"),
    model=part("my-plugin"),
    trainer=part("supervised", learning_rate=2e-3),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=48_000,
    num_environments=32,
    report_period=16_000,
    evaluation=Evaluation(
        environment=part("images", split="test", shuffle=False, replacement=False, max_shift=0, max_rotation=0.0)
    ),
    execution="graph",
)
