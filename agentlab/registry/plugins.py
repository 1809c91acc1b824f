"""Plugins: parts of packages and of single files, found by name. Listing reads only metadata and source text; stevedore loads
the chosen part."""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any

import attrs

from agentlab import errors
from agentlab.registry import packages, single_file
from agentlab.registry.packages import GROUPS, Offer, normalized
from agentlab.system import source_text

_FROM_FILES: dict[Offer, Any] = {}
_FILES: dict[Offer, str] = {}  # where they are


def every() -> list[Offer]:
    """Returns every offer by kind, name and package, from metadata alone; `summary` is empty.

    The environment variable AGENTLAB_PLUGINS chooses among packages: `-one,-two` leaves these out, `one,two` leaves out all
    others but agentlab's own.
    """
    kinds = [*GROUPS, "package"]
    return sorted({*_FROM_FILES, *packages.offers()}, key=lambda offer: (kinds.index(offer.kind), offer.name, offer.package))


def offers(kind: str) -> list[Offer]:
    """Returns every offer of a kind by name and package, from metadata alone; `summary` is empty."""
    return [offer for offer in every() if offer.kind == kind]


def inspected(offer: Offer) -> Offer:
    """Returns the offer with `problem` and `summary` filled in from its source text; nothing is imported."""
    if offer.problem or offer in _FROM_FILES:
        return offer
    try:
        definition = source_text.find(offer.target)
    except source_text.UnreadableError as error:
        return attrs.evolve(offer, problem=str(error))
    return attrs.evolve(offer, summary=definition.summary if definition else "")


def named(reference: str) -> list[Offer]:
    """Returns the offers named `NAME` or `PACKAGE:NAME`, and all of the package NAME.

    Raises:
        PluginError: there is none.
    """
    known = every()
    package, _, name = reference.rpartition(":")
    matches = [offer for offer in known if offer.name == name and package in ("", offer.package)]
    matches += [offer for offer in known if normalized(offer.package) == normalized(reference) and offer not in matches]
    if not matches:
        names = {offer.name for offer in known} | {offer.package for offer in known}
        raise errors.PluginError(errors.unknown("task, part or package", reference, names, "Installed") + packages.left_out())
    return matches


def described(offer: Offer) -> str:
    """Returns the line that says what an offer is and where it comes from."""
    package = f"{offer.package} {offer.version}".strip()
    return f"{offer.kind} {offer.name} ({', '.join(filter(None, [package, offer.target]))})"


def find(kind: str, reference: str) -> Offer:
    """Returns the offer named `NAME` or, where several packages offer the name, `PACKAGE:NAME`.

    Parts of a single file come before those of packages, because the user named the file.

    Raises:
        PluginError: no package offers it, or more than one does, or the package is for another version of agentlab.
    """
    # One package offers the name, or the reference says which.
    package, _, name = reference.rpartition(":")
    matches = candidates(kind, reference)
    if not matches:
        known = offers(kind)
        names = {offer.name for offer in known} if not package else {f"{offer.package}:{offer.name}" for offer in known}
        raise errors.PluginError(errors.unknown(kind, reference, names, "Installed") + packages.left_out())
    if len(matches) > 1:
        choices = " and ".join(f"{offer.package} {offer.version}".strip() for offer in matches)
        raise errors.PluginError(
            f"Several packages offer a {kind} named {name!r}: {choices}. "
            f"Choose one as {matches[0].package}:{name}, or uninstall the others."
        )
    return matches[0]


def candidates(kind: str, reference: str) -> list[Offer]:
    """Returns the offers that `NAME` or `PACKAGE:NAME` may mean: those of single files, or else of packages.

    Offers that can't be loaded, by their metadata, are returned only if there is no other, so that their problem is reported.
    """
    package, _, name = reference.rpartition(":")
    matches = [offer for offer in offers(kind) if offer.name == name and normalized(package) in ("", normalized(offer.package))]
    of_files = [offer for offer in matches if offer in _FROM_FILES]
    return of_files or [offer for offer in matches if not offer.problem] or matches


def package_of(kind: str, reference: str) -> str:
    """Returns the package whose part `find` finds; empty where there is none, or it is of a single file."""
    try:
        offer = find(kind, reference)
    except errors.PluginError:
        return ""
    return "" if offer in _FROM_FILES else offer.package


def file_of(kind: str, reference: str) -> str:
    """Returns the single file whose part `find` finds; empty where there is none, or it is of a package."""
    try:
        return _FILES.get(find(kind, reference), "")
    except errors.PluginError:
        return ""


def load(kind: str, reference: str) -> Any:
    """Imports and returns what an entry point names.

    Raises:
        PluginError: it does not exist, is offered twice, or fails when it is imported, with package, version and reason.
    """
    offer = find(kind, reference)
    if offer in _FROM_FILES:
        return _FROM_FILES[offer]
    if offer.problem:
        raise _unusable(offer, offer.problem)
    return _imported(offer)


def add_file(path: str | os.PathLike[str]) -> list[Offer]:
    """Offers, in this process, the parts and tasks that a single Python file defines; its name stands for a package.

    A class derived from a contract is offered by its name in lower case with hyphens (SecondBest as "second-best") and a Task
    by its own name.

    Returns:
        The offers of packages that the file's own stand in front of; `PACKAGE:NAME` still names them.

    Raises:
        PluginError: it cannot be imported, or defines none.
    """
    added = set()
    for (kind, name), part in single_file.parts_of(path).items():
        summary = getattr(part, "description", None) or (part.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        target = f"{part.__module__}:{part.__name__}" if isinstance(part, type) else f"{path}:{name}"
        offer = Offer(kind, name, os.path.basename(path), "", target, summary=summary)  # noqa: PTH119
        _FROM_FILES[offer], _FILES[offer] = part, os.fspath(path)
        added.add((kind, name))
    return [offer for offer in every() if (offer.kind, offer.name) in added and offer not in _FROM_FILES]


def is_hidden(offer: Offer) -> bool:
    """Returns whether a single file offers something by an offer's name, which then names that."""
    return offer not in _FROM_FILES and any((one.kind, one.name) == (offer.kind, offer.name) for one in _FROM_FILES)


def _imported(offer: Offer) -> Any:
    from stevedore import ExtensionManager

    entry_point = importlib.metadata.EntryPoint(offer.name, offer.target, GROUPS[offer.kind])
    failures: list[BaseException] = []

    class One(ExtensionManager):
        """A manager of only the chosen entry point: stevedore's own would import every plugin of the group."""

        def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
            return [entry_point]

    # stevedore imports the module and looks up the attribute.
    try:
        extensions = list(One(GROUPS[offer.kind], on_load_failure_callback=lambda *failure: failures.append(failure[2])))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # stevedore lets AssertionError, SystemExit and the like through
        failures.append(error)
    if failures:
        raise _unusable(offer, errors.first_line(failures[0])) from failures[0]
    return extensions[0].plugin


def _unusable(offer: Offer, reason: str) -> errors.PluginError:
    return errors.PluginError(
        f"The {offer.kind} {offer.name!r} of package {offer.package} {offer.version} can't be loaded: {reason}. "
        "Upgrade, fix or uninstall that package."
    )
