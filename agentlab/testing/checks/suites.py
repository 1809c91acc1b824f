"""Chooses the tests of a part by its kind and class."""

from __future__ import annotations

from agentlab import errors
from agentlab.registry import packages, plugins
from agentlab.registry.kinds import KINDS
from agentlab.task import Task
from agentlab.testing.checks import around
from agentlab.testing.task import TaskTests


def suite_of(offer: packages.Offer, **attributes: object) -> type:
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


def suite_of_part(kind: str, part: object, **attributes: object) -> type:
    """Returns the tests for a part of a kind, as a class for pytest; `attributes` are of the tests, such as `settings`."""
    chosen = KINDS[kind].suite_of(part)
    return type(chosen.__name__, (chosen,), {"part": part, **attributes})


def companions(offer: packages.Offer) -> Task:
    """Returns a task of the same package that uses the part, or else the one that parts are tested among."""
    for other in plugins.offers("task"):
        if other.package == offer.package:
            try:
                task = plugins.load("task", f"{other.package}:{other.name}")
            except errors.PluginError:
                continue  # reported by that task's own tests
            if isinstance(task, Task) and getattr(task, offer.kind).name.rpartition(":")[2] == offer.name:
                return task
    return around.IDENTITY
