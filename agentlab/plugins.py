"""Plugins: where parts come from. Listing reads metadata and source text only; stevedore loads the one that is chosen."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import attrs

from agentlab import errors, source

GROUPS = {
    "task": "agentlab.tasks",
    "environment": "agentlab.environments",
    "model": "agentlab.models",
    "trainer": "agentlab.trainers",
    "sampler": "agentlab.samplers",
    "memory": "agentlab.memories",
}


@attrs.frozen
class Offer:
    """What a package offers under a name, known without importing it.

    Attributes:
        kind: "task", "environment", ...
        name: of the entry point.
        package: the distribution that offers it.
        version: of the distribution.
        target: `module:attribute`.
        problem: why it cannot be loaded, as far as its files tell; empty if nothing is wrong with them.
        summary: the first sentence of its docstring, or a task's description.
    """

    kind: str
    name: str
    package: str
    version: str
    target: str
    problem: str = ""
    summary: str = ""


def offers(kind: str) -> list[Offer]:
    """Returns every offer of a kind by name and package, from metadata alone; `problem` and `summary` are empty."""
    found = [_offer(kind, entry_point) for entry_point in importlib.metadata.entry_points(group=GROUPS[kind])]
    return sorted(set(found), key=lambda offer: (offer.name, offer.package))


def inspected(offer: Offer) -> Offer:
    """Returns the offer with `problem` and `summary` filled in from its source text; nothing is imported."""
    try:
        definition = source.find(offer.target)
    except source.UnreadableError as error:
        return attrs.evolve(offer, problem=str(error))
    return attrs.evolve(offer, summary=definition.summary if definition else "")


def find(kind: str, reference: str) -> Offer:
    """Returns the offer named `NAME` or, where several packages offer the name, `PACKAGE:NAME`.

    Raises:
        PluginError: no package offers it, or more than one does.
    """
    package, _, name = reference.rpartition(":")
    known = offers(kind)
    found = [offer for offer in known if offer.name == name and package in ("", offer.package)]
    if not found:
        names = {offer.name for offer in known} if not package else {f"{offer.package}:{offer.name}" for offer in known}
        raise errors.PluginError(errors.unknown(kind, reference, names, "Installed"))
    if len(found) > 1:
        choices = " and ".join(f"{offer.package} {offer.version}" for offer in found)
        raise errors.PluginError(
            f"Several packages offer a {kind} named {name!r}: {choices}. "
            f"Choose one as {found[0].package}:{name}, or uninstall the others."
        )
    return found[0]


def load(kind: str, reference: str) -> Any:
    """Imports and returns what an entry point names.

    Raises:
        PluginError: it does not exist, is offered twice, or fails when it is imported, with package, version and reason.
    """
    from stevedore import ExtensionManager

    offer = find(kind, reference)
    entry_point = importlib.metadata.EntryPoint(offer.name, offer.target, GROUPS[kind])
    failures: list[BaseException] = []

    class One(ExtensionManager):
        """A manager of the one chosen entry point: stevedore's own would import every plugin of the group."""

        def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
            return [entry_point]

    try:
        extensions = list(One(GROUPS[kind], on_load_failure_callback=lambda *failure: failures.append(failure[2])))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # stevedore lets AssertionError, SystemExit and the like through
        failures.append(error)
    if failures:
        reason = f"{type(failures[0]).__name__}: {failures[0]}".rstrip(": ").splitlines()[0]
        raise errors.PluginError(
            f"The {kind} {offer.name!r} of package {offer.package} {offer.version} can't be loaded: {reason}. "
            "Mend or uninstall that package."
        ) from failures[0]
    return extensions[0].plugin


def _offer(kind: str, entry_point: importlib.metadata.EntryPoint) -> Offer:
    distribution = entry_point.dist
    package = distribution.metadata["Name"] if distribution else "unknown"
    return Offer(kind, entry_point.name, package, distribution.version if distribution else "unknown", entry_point.value)
