"""The tasks of learning from what was recorded. Imports no TensorFlow: tasks are listed and described without it.

Each reads a data set of Minari's folder: `agentlab collect RUN --output cartpole/replay-v0` writes it, and
`--set environment.data=NAME` names another one, by its id or its path.
"""

import attrs

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Inputs, Task, part

CARTPOLE = Evaluation(environment=part("gymnasium", id="CartPole-v1"))
PENDULUM = Evaluation(environment=part("gymnasium", id="Pendulum-v1"))

behaviour_cloning_cartpole = Task(
    name="behaviour-cloning-cartpole",
    description="A network imitates recorded steps of CartPole.",
    environment=part("recorded", data="cartpole/replay-v0", order="steps"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("behaviour-cloning"),
    sampler=part("stochastic"),
    memory=part("latest"),
    steps=1_280_000,
    num_environments=128,
    report_period=128_000,
    evaluation=CARTPOLE,
    threads=1,
)

iql_cartpole = attrs.evolve(
    behaviour_cloning_cartpole,
    name="iql-cartpole",
    description="IQL learns to balance CartPole from recorded steps, valuing only what was done.",
    trainer=part("iql", learning_rate=1e-3, target_update_rate=0.01),
)

cql_cartpole = attrs.evolve(
    behaviour_cloning_cartpole,
    name="cql-cartpole",
    description="CQL learns to balance CartPole from recorded steps, valuing low what nobody did.",
    trainer=part("cql", learning_rate=1e-3, target_update_rate=0.01, initial_temperature=0.01, temperature_learning_rate=0.0),
)

td3_bc_pendulum = attrs.evolve(
    behaviour_cloning_cartpole,
    name="td3-bc-pendulum",
    description="TD3+BC learns to swing a pendulum up from recorded steps, staying near what was done.",
    environment=part("recorded", data="pendulum/replay-v0", order="steps"),
    trainer=part("td3-bc", learning_rate=1e-3, discount=0.98, value_weight=20.0),
    sampler=part("normal-noise"),
    evaluation=PENDULUM,
)

decision_transformer_cartpole = Task(
    name="decision-transformer-cartpole",
    description="A transformer acts for the return that it is asked for: --set model.target_return=100.",
    environment=part("recorded", data="cartpole/replay-v0"),
    model=part("decision-transformer", units=64, layers=2, heads=2, context=20, target_return=500.0),
    trainer=part("behaviour-cloning", sequence_length=20, learning_rate=Linear(2e-3, 1e-4), max_gradient_norm=1.0),
    sampler=part("stochastic"),
    memory=part("rollout"),
    steps=640_000,
    num_environments=32,
    report_period=64_000,
    evaluation=CARTPOLE,
    inputs=Inputs(previous_action=True, previous_reward=True),
    threads=1,
)
