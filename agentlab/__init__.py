"""agentlab: every learning problem is an agent in an environment, run by one step/reward loop.

Importing it does not import TensorFlow; that happens when a name of the list below is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from agentlab.errors import AgentlabError
from agentlab.tensors.keras_settings import importing_keras

if TYPE_CHECKING:
    __version__: str
    from agentlab.loop.agent import Agent, Parts
    from agentlab.loop.composition import make_agent
    from agentlab.runs.runner import load, resume, run, train
    from agentlab.runs.session import Run
    from agentlab.runs.training import Training
    from agentlab.task import Evaluation, Part, Task, part
    from agentlab.types import TimeStep, Transition

__all__ = [
    "Agent",
    "AgentlabError",
    "Evaluation",
    "Part",
    "Parts",
    "Run",
    "Task",
    "TimeStep",
    "Training",
    "Transition",
    "__version__",
    "load",
    "make_agent",
    "part",
    "resume",
    "run",
    "train",
]

_HOMES = {
    "Agent": "loop.agent",
    "Evaluation": "task",
    "Part": "task",
    "Parts": "loop.agent",
    "Run": "runs.session",
    "Task": "task",
    "TimeStep": "types",
    "Training": "runs.training",
    "Transition": "types",
    "load": "runs.runner",
    "make_agent": "loop.composition",
    "part": "task",
    "resume": "runs.runner",
    "run": "runs.runner",
    "train": "runs.runner",
}


if not TYPE_CHECKING:  # to which a name that isn't there would be one of any type

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib import metadata

            return metadata.version("agentlab")
        if name not in _HOMES:
            raise AttributeError(f"module 'agentlab' has no attribute {name!r}")
        with importing_keras():
            return getattr(importlib.import_module(f"agentlab.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
