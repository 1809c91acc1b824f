"""Conformance tests of every contract, for pytest: derive a class from one of these, name your part, and run pytest.

    from agentlab.testing import SamplerTests
    from my_plugin import SecondBest


    class TestSecondBest(SamplerTests):
        part = SecondBest

Each `test_` method is one line of the contract, which its docstring states. `agentlab plugin check` runs the same methods and
reports them line by line; agentlab's own parts pass them too. They need no fixture, and pytest only to be collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentlab.registry.kinds import KINDS, load

if TYPE_CHECKING:
    from agentlab.testing.checks.suite import Suite
    from agentlab.testing.checks.violation import Violation, expect
    from agentlab.testing.device_environment import DeviceEnvironmentTests
    from agentlab.testing.host_environment import HostEnvironmentTests
    from agentlab.testing.memory import MemoryTests
    from agentlab.testing.model import ModelTests
    from agentlab.testing.sampler import SamplerTests
    from agentlab.testing.task import TaskTests
    from agentlab.testing.tracker import TrackerTests
    from agentlab.testing.trainer import TrainerTests

__all__ = [
    "DeviceEnvironmentTests",
    "HostEnvironmentTests",
    "MemoryTests",
    "ModelTests",
    "SamplerTests",
    "Suite",
    "TaskTests",
    "TrackerTests",
    "TrainerTests",
    "Violation",
    "expect",
]

_CHECKS = ("suite.Suite", "violation.Violation", "violation.expect")
_NAMES = [
    *(suite for kind in KINDS.values() for suite in kind.suites),
    *(f"agentlab.testing.checks.{name}" for name in _CHECKS),
]
_HOMES = {name.rpartition(".")[2]: name for name in _NAMES}


def __getattr__(name: str) -> Any:  # a task's tests, and the probe of imports, are run without TensorFlow
    if name not in _HOMES:
        raise AttributeError(f"module 'agentlab.testing' has no attribute {name!r}")
    return load(_HOMES[name])


def __dir__() -> list[str]:
    return __all__
