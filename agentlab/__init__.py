"""agentlab: every learning problem is an agent in an environment, run by one step/reward loop.

Importing it does not import TensorFlow; that happens when a name of the list below is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from agentlab.errors import AgentlabError
from agentlab.keras_settings import importing_keras

if TYPE_CHECKING:
    __version__: str
    from agentlab.agent import Agent, Parts
    from agentlab.composition import make_agent
    from agentlab.runner import load, resume, run, train
    from agentlab.session import Run
    from agentlab.task import Evaluation, Part, Task, part
    from agentlab.training import Training
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
    "Agent": "agent",
    "Evaluation": "task",
    "Part": "task",
    "Parts": "agent",
    "Run": "session",
    "Task": "task",
    "TimeStep": "types",
    "Training": "training",
    "Transition": "types",
    "load": "runner",
    "make_agent": "composition",
    "part": "task",
    "resume": "runner",
    "run": "runner",
    "train": "runner",
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
