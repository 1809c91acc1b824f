"""Run: the results of a finished run."""

from __future__ import annotations

import os
import pathlib

import attrs
import keras

from agentlab.loop.agent import Agent
from agentlab.runs import notebook
from agentlab.runs.files.run_directory import Result
from agentlab.task import Task


@attrs.frozen(repr=False)
class Run(os.PathLike[str]):
    """A finished run. It stands for its directory where a path is asked for: `agentlab.play(run)`.

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

    def __fspath__(self) -> str:
        return str(self.directory)

    def __repr__(self) -> str:
        score = self.result["evaluation"].get("return_mean")
        judged = "" if score is None else f", return {score:.2f}"
        return f"<Run of {self.task.name}, seed {self.seed}, {self.result['steps']:,} steps{judged}, in {self.directory}>"

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: the same line, and the learning curve."""
        return notebook.page_of(repr(self), self.directory, self.agent.trainer.headline)

    @property
    def model(self) -> keras.Model:
        """The trained model."""
        return self.agent.model
