"""Tests of what parts must agree on, for pytest: derive a class from one of these, name your part, and run pytest.

    from agentlab.testing import SamplerTests
    from my_plugin import SecondBest


    class TestSecondBest(SamplerTests):
        part = SecondBest

Each `test_` method is one line of the contract, told by its docstring. `agentlab plugin check` runs the same methods and
reports them line by line; agentlab's own parts pass them too. They need no fixture, and pytest only to be collected.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentlab.testing.checks.suite import Suite
    from agentlab.testing.checks.violation import Violation, expect
    from agentlab.testing.device_environment import DeviceEnvironmentTests
    from agentlab.testing.host_environment import HostEnvironmentTests
    from agentlab.testing.memory import LatestTests, MemoryTests
    from agentlab.testing.model import ModelTests
    from agentlab.testing.sampler import SamplerTests
    from agentlab.testing.task import TaskTests
    from agentlab.testing.trainer import TrainerTests

__all__ = [
    "DeviceEnvironmentTests",
    "HostEnvironmentTests",
    "LatestTests",
    "MemoryTests",
    "ModelTests",
    "SamplerTests",
    "Suite",
    "TaskTests",
    "TrainerTests",
    "Violation",
    "expect",
]

_HOMES = {
    "DeviceEnvironmentTests": "device_environment",
    "HostEnvironmentTests": "host_environment",
    "LatestTests": "memory",
    "MemoryTests": "memory",
    "ModelTests": "model",
    "SamplerTests": "sampler",
    "Suite": "suite",
    "TaskTests": "task",
    "TrainerTests": "trainer",
    "Violation": "violation",
    "expect": "violation",
}


def __getattr__(name: str) -> Any:  # a task's tests, and the probe of imports, are run without TensorFlow
    if name not in _HOMES:
        raise AttributeError(f"module 'agentlab.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"agentlab.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
