"""A task of other packages' parts: an environment of one, a trainer of another, the rest agentlab's own."""

from agentlab.task import Evaluation, Task, part

corridor_actor_critic = Task(
    name="corridor-actor-critic",
    description="An actor-critic learns which end of the corridor pays.",
    environment=part("corridor"),
    model=part("mlp", hidden_units=(32,)),
    trainer=part("actor-critic", discount=0.9),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=32_000,
    num_environments=16,
    report_period=8_000,
    evaluation=Evaluation(episodes=200),
    execution="graph",
)
