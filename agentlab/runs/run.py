"""Run: the results of a finished run."""

from __future__ import annotations

import pathlib

import attrs
import keras

from agentlab.loop.agent import Agent
from agentlab.runs.run_directory import Result
from agentlab.task import Task


@attrs.frozen
class Run:
    """A finished run.

    Attributes:
        task: as it was run, changes included.
        seed: of all its randomness.
        directory: holds its files.
        agent: trained.
        result: the content of result.json.
        finished_before: whether it had been finished already, so that nothing was trained, evaluated or written now.
    """

    task: Task
    seed: int
    directory: pathlib.Path
    agent: Agent
    result: Result
    finished_before: bool = False

    @property
    def model(self) -> keras.Model:
        """The trained model."""
        return self.agent.model
