"""agentlab: every learning problem is an agent in an environment, run by one step/reward loop.

Importing it does not import TensorFlow; that happens when a name of the list below is first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentlab.errors import AgentlabError
from agentlab.tensors.keras_settings import importing_keras

if TYPE_CHECKING:
    __version__: str
    from agentlab.loop.agent import Agent, Parts
    from agentlab.program import plugin
    from agentlab.program.functions import info, report, sample
    from agentlab.program.functions import list_parts as list  # noqa: F401 - not in __all__
    from agentlab.program.play import play
    from agentlab.reports.tables import results
    from agentlab.runs.collecting import collect
    from agentlab.runs.composition import make_agent
    from agentlab.runs.evaluating import evaluate
    from agentlab.runs.exporting import export
    from agentlab.runs.loading import load
    from agentlab.runs.resuming import resume
    from agentlab.runs.run import Run
    from agentlab.runs.running import run, train
    from agentlab.runs.training import Training
    from agentlab.sweeps.sweeping import SweepResult, sweep
    from agentlab.task import Evaluation, Part, Task, part
    from agentlab.testing.environment_check import check
    from agentlab.types import Batch, Step, TimeStep

__all__ = [
    "Agent",
    "AgentlabError",
    "Batch",
    "Evaluation",
    "Part",
    "Parts",
    "Run",
    "Step",
    "SweepResult",
    "Task",
    "TimeStep",
    "Training",
    "__version__",
    "check",
    "collect",
    "evaluate",
    "export",
    "info",
    "load",
    "make_agent",
    "part",
    "play",
    "plugin",
    "report",
    "results",
    "resume",
    "run",
    "sample",
    "sweep",
    "train",
]

_HOMES = {
    "Agent": "loop.agent",
    "Batch": "types",
    "Evaluation": "task",
    "Part": "task",
    "Parts": "loop.agent",
    "Run": "runs.run",
    "Step": "types",
    "SweepResult": "sweeps.sweeping",
    "Task": "task",
    "TimeStep": "types",
    "Training": "runs.training",
    "check": "testing.environment_check",
    "collect": "runs.collecting",
    "evaluate": "runs.evaluating",
    "export": "runs.exporting",
    "info": "program.functions",
    "list": "program.functions",  # not in __all__, where it would hide Python's own
    "load": "runs.loading",
    "make_agent": "runs.composition",
    "part": "task",
    "play": "program.play",
    "plugin": "program.plugin",
    "report": "program.functions",
    "results": "reports.tables",
    "resume": "runs.resuming",
    "run": "runs.running",
    "sample": "program.functions",
    "sweep": "sweeps.sweeping",
    "train": "runs.running",
}

_OTHER_NAMES = {"list": "list_parts"}
_MODULES = {"plugin"}  # of which the functions are commands


if not TYPE_CHECKING:  # to which a name that isn't there would be one of any type

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib import metadata

            return metadata.version("agentlab")
        if name not in _HOMES:
            raise AttributeError(f"module 'agentlab' has no attribute {name!r}")
        with importing_keras():
            if name in _MODULES:
                return importlib.import_module(f"agentlab.{_HOMES[name]}")
            return getattr(importlib.import_module(f"agentlab.{_HOMES[name]}"), _OTHER_NAMES.get(name, name))


def __dir__() -> Sequence[str]:
    return __all__
