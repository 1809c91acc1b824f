"""The contract's tests, and that the task learns what it is for."""

import agentlab
from agentlab.testing import TaskTests


class TestTask(TaskTests):
    name = "agentlab-corridor-actor-critic:corridor-actor-critic"


def test_it_learns(tmp_path):
    run = agentlab.run("corridor-actor-critic", seed=0, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] > 0.9  # to the right, slipping: 0.96 from all places alike
