"""The contract's tests, and that the task learns what it is for."""

import agentlab
from agentlab.testing import TaskTests


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_it_learns(tmp_path):
    run = agentlab.run("my-plugin:my-plugin", seed=0, run_dir=tmp_path / "run")
    assert run.result["evaluation"]["return_mean"] > 15.0  # of 16
