"""An agent of a program's own loop on disk: a config.json and a checkpoint, as a run has them, which `agentlab.load` reads."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import attrs

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.runs.checkpoints import snapshot
from agentlab.runs.checkpoints.store import Groups
from agentlab.runs.composition.parts import with_packages
from agentlab.runs.files.run_config import config_bytes, open_run, read_config
from agentlab.runs.files.run_directory import RESULT, RunDirectory
from agentlab.system import machine
from agentlab.task import Task
from agentlab.tensors import variables


@attrs.frozen
class AgentFiles:
    """Saves an agent, with what it takes to build it again.

    Attributes:
        task: that it was built from.
        seed: of its weights and draws.
    """

    task: Task
    seed: int

    def save(self, agent: Agent, path: str | os.PathLike[str], memory: bool) -> None:
        """Saves an agent in a new directory, or in the place of what was saved there of it before.

        Args:
            agent: built from the task.
            path: of the directory.
            memory: whether to save what its memory holds too.

        Raises:
            UsageError: the directory holds something else, or the agent can't be recorded.
            WriteFault: it can't be written.
        """
        snapshot.check_writable(agent)
        # Steps that wait on the host are moved to the memory first, by the names of the agent's variables.
        where, groups, step = pathlib.Path(path), _groups(agent, memory), int(agent.learner.steps.numpy())
        directory = self._opened(agent, where)
        try:
            facts = {"metrics_bytes": 0, "best": None, "exact": True, "live": dict(agent.live.changed)}
            directory.checkpoints.save(step, groups, {**facts, **machine.facts()})
            directory.checkpoints.prune([step])
        finally:
            directory.close()

    def _opened(self, agent: Agent, path: pathlib.Path) -> RunDirectory:
        if not os.path.lexists(path / "config.json"):
            return RunDirectory.create(path, self.task.name, self.seed, config_bytes(self._config(agent)))
        # The lock comes second: what is refused is left untouched.
        config = read_config(open_run(path), path, trust=True)  # compared only
        directory = RunDirectory.open(path)
        is_own = config.task.as_data() == self._plain() and (config.seed, config.spec) == (self.seed, agent.spec)
        if directory.metrics_bytes or directory.folder.has(RESULT) or not is_own:
            directory.close()
            raise errors.UsageError(
                f"{str(path)!r} holds a run, or another agent, which is not overwritten. Name another directory."
            )
        return directory

    def _config(self, agent: Agent) -> dict[str, Any]:
        return {
            "task": self._plain(), "seed": self.seed, "spec": agent.spec.as_data(), "inexact": "", **machine.facts(),
        }  # fmt: skip

    def _plain(self) -> dict[str, Any]:
        return with_packages(self.task).as_data()


def _groups(agent: Agent, memory: bool) -> Groups:
    """Returns the arrays of a checkpoint by group and name."""
    own = {name: variables.copied(variable) for name, variable in agent.variables().items()}
    # The memory may be many times larger than the agent.
    if not memory:
        return {"agent": own}
    remembered = {name: variables.copied_by_rows(ring) for name, ring in agent.memory_variables().items()}
    return snapshot.without_unused_rows({"agent": own, "memory": remembered})
