"""What a learner's update is as a graph, by every execution."""

import pytest
import tensorflow as tf

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
