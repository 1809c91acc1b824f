"""Which tests a part is put to: chosen by its kind and class."""

from __future__ import annotations

from typing import Any

from agentlab import errors
from agentlab.environment import Environment
from agentlab.memory import Latest
from agentlab.registry import plugins
from agentlab.task import Task
from agentlab.testing.checks import around
from agentlab.testing.device_environment import DeviceEnvironmentTests
from agentlab.testing.host_environment import HostEnvironmentTests
from agentlab.testing.memory import LatestTests, MemoryTests
from agentlab.testing.model import ModelTests
from agentlab.testing.sampler import SamplerTests
from agentlab.testing.task import TaskTests
from agentlab.testing.trainer import TrainerTests


def suite_of(offer: plugins.Offer, **attributes: Any) -> type:
    """Returns the tests for what an entry point names, as a class for pytest.

    Args:
        offer: of an installed package.
        attributes: of the tests, such as `settings`.

    Raises:
        PluginError: it cannot be loaded.
    """
    reference = f"{offer.package}:{offer.name}"
    part = plugins.load(offer.kind, reference)
    if offer.kind == "task":
        return type("TaskTests", (TaskTests,), {"name": reference, **attributes})
    if offer.kind in ("model", "trainer"):
        attributes.setdefault("among", companions(offer))
    return suite_of_part(offer.kind, part, **attributes)


def suite_of_part(kind: str, part: Any, **attributes: Any) -> type:
    """Returns the tests for a part of a kind, as a class for pytest; `attributes` are of the tests, such as `settings`."""
    chosen = _chosen(kind, part)
    return type(chosen.__name__, (chosen,), {"part": part, **attributes})


def companions(offer: plugins.Offer) -> Task:
    """Returns a task of the same package that uses the part, or else the one that parts are tested among."""
    for other in plugins.offers("task"):
        if other.package == offer.package:
            try:
                task = plugins.load("task", f"{other.package}:{other.name}")
            except errors.PluginError:
                continue  # told by that task's own tests
            if isinstance(task, Task) and getattr(task, offer.kind).name.rpartition(":")[2] == offer.name:
                return task
    return around.IDENTITY


def _chosen(kind: str, part: Any) -> type:
    if kind == "environment":
        return HostEnvironmentTests if _derives(part, Environment) else DeviceEnvironmentTests
    if kind == "memory":
        return LatestTests if _derives(part, Latest) else MemoryTests
    return {"model": ModelTests, "sampler": SamplerTests, "trainer": TrainerTests}[kind]


def _derives(part: Any, contract: type) -> bool:
    return isinstance(part, type) and issubclass(part, contract)
