"""What a learner's update is as a graph, by every execution."""

import pytest
import tensorflow as tf

from agentlab.loop.host.gear import HostGear
from agentlab.runs import composition
from agentlab.runs.session.session import Session
from agentlab.tensors.execution import operations_of

TASKS = {
    "dqn": {"model.hidden_units": [8], "memory.capacity": 50},
    "ppo": {"model.hidden_units": [8], "trainer.rollout_steps": 4, "num_environments": 2, "trainer.num_minibatches": 1},
}


def operations_of_an_update(task, execution):
    """Returns the kinds of operations in the graph of a host's update, without those within programs of XLA's."""
    changes = {**TASKS[task], "environment.id": "CartPole-v1", "execution": execution}
    learner = Session(composition.resolved(task, changes), 0, None, bool).agent.learner
    learner.prepare()
    return [operation.type for operation in operations_of(tf.function(learner.update).get_concrete_function().graph)]


@pytest.mark.parametrize("task", TASKS)
def test_an_update_by_xla_is_one_program_with_the_drawing_of_its_batch(task):
    plain, by_xla = (operations_of_an_update(task, execution) for execution in ("graph", "xla"))
    assert by_xla.count("StatefulPartitionedCall") == 1
    assert {"ResourceGather", "MatMul", "While"} & set(plain)
    assert not {"ResourceGather", "MatMul", "While"} & set(by_xla)
    assert len(by_xla) < len(plain) / 2


def test_on_the_host_an_update_is_traced_once_alone_and_with_a_decision(monkeypatch):
    changes = {**TASKS["dqn"], "environment.id": "CartPole-v1", "trainer.learning_starts": 4, "trainer.update_period": 1}
    changes["sampler.epsilon"] = 0.0
    task, traced = composition.resolved("dqn", changes), []
    environment = composition.build_training_environment(task)
    agent = composition.build_agent(task, 0, environment.spec)
    trainer = agent.learner.trainer
    monkeypatch.setattr(trainer, "update", lambda *inputs: traced.append(inputs) or type(trainer).update(trainer, *inputs))

    # A chunk's last update is made alone; the others with the next decision, which the model is asked for.
    gear = HostGear(agent, environment, 0)
    gear.start()
    gear.run(12)
    gear.close()
    assert int(agent.learner.updates) > 2
    assert len(traced) == 1
