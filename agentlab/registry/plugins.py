"""Plugins: parts from entry points. Listing reads only metadata and source text; stevedore loads the chosen part."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import sys
from typing import Any

import attrs

from agentlab import errors
from agentlab.registry import single_file
from agentlab.registry.kinds import KINDS
from agentlab.system import source_text

GROUPS = {name: kind.group for name, kind in KINDS.items()}
API = 2  # of plugins; it grows when a contract changes so that plugins have to
UNDECLARED = "1"  # the version of a package that declares none
API_GROUP = "agentlab.api"
GYMNASIUM_GROUPS = ("gymnasium.envs", "gym.envs")
CHOICE = "AGENTLAB_PLUGINS"


@attrs.frozen
class Offer:
    """What a package offers under a name, known without importing it.

    Attributes:
        kind: "task", "environment", ...; "package" for a package whose offers cannot be read.
        name: of the entry point.
        package: the distribution that offers it, or a single file.
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


_FROM_FILES: dict[Offer, Any] = {}
_FILES: dict[Offer, str] = {}  # where they are


def every() -> list[Offer]:
    """Returns every offer by kind, name and package, from metadata alone; `summary` is empty.

    The environment variable AGENTLAB_PLUGINS chooses among packages: `-one,-two` leaves these out, `one,two` leaves out all
    others but agentlab's own.
    """
    of_packages = [offer for package, offers in _installed(_places()) if _is_chosen(package) for offer in offers]
    kinds = [*GROUPS, "package"]
    return sorted({*_FROM_FILES, *of_packages}, key=lambda offer: (kinds.index(offer.kind), offer.name, offer.package))


def _places() -> tuple[tuple[str, int], ...]:
    """Returns where packages may be installed, and when each directory last changed, as it does when one is installed."""
    return tuple((place, os.stat(place).st_mtime_ns if os.path.exists(place) else 0) for place in sys.path)  # noqa: PTH110, PTH116


@functools.lru_cache(maxsize=8)
def _installed(places: tuple[tuple[str, int], ...]) -> list[tuple[str, list[Offer]]]:
    """Returns the offers by package of `places`, as `_places` has them.

    They are read again only where a package has come or gone: it takes 10 ms, and a run looks up some thirty parts.
    """
    # Metadata only: a listing imports nobody's code.
    packages: dict[str, tuple[str, list[Offer]]] = {}
    for distribution in importlib.metadata.distributions(path=[place for place, _ in places]):
        if "agentlab." not in _text_of(distribution, "entry_points.txt")[0]:
            continue
        package, version, problem = _identity(distribution)
        if normalized(package) not in packages:  # of one distribution twice on the path, the first counts
            packages[normalized(package)] = package, _offers_of(distribution, package, version, problem)
    return list(packages.values())


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
        raise errors.PluginError(errors.unknown("task, part or package", reference, names, "Installed") + _hidden())
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
        raise errors.PluginError(errors.unknown(kind, reference, names, "Installed") + _hidden())
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


def registers_environments(module: str) -> bool:
    """Whether an installed package registers Gymnasium environments from a module, by metadata alone.

    Its entry points say so; or the module is the package itself of a distribution that needs Gymnasium, or agentlab.
    """
    if any(entry.module == module for group in GYMNASIUM_GROUPS for entry in importlib.metadata.entry_points(group=group)):
        return True
    packages = importlib.metadata.packages_distributions()
    return "." not in module and any(_needs_gymnasium(distribution) for distribution in packages.get(module, ()))


def _needs_gymnasium(distribution: str) -> bool:
    requirements = importlib.metadata.requires(distribution) or []
    needed = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements}
    return bool({distribution, *map(normalized, needed)} & {"gymnasium", "gym", "agentlab"})


def normalized(package: str) -> str:
    """Returns a distribution's name as its variants have it in common (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


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


def _text_of(distribution: importlib.metadata.Distribution, name: str) -> tuple[str, str]:
    """Returns the text of a file of a distribution's metadata, and what is wrong with it; empty if it has none."""
    try:
        return distribution.read_text(name) or "", ""
    except UnicodeDecodeError as error:  # the text of any package that is installed, in whatever encoding
        text = error.object.decode("latin-1").replace("\r\n", "\n")
        return text, f"its {name} is not UTF-8: byte {error.object[error.start]:#04x}"
    except (OSError, ValueError) as error:
        return "", f"its {name} can't be read: {errors.first_line(error)}"


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str, str]:
    """Returns a distribution's name, version, and what is wrong with the file that says them."""
    text, problem = next(filter(any, (_text_of(distribution, name) for name in ("METADATA", "PKG-INFO"))), ("", ""))
    fields = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", text.partition("\n\n")[0], re.MULTILINE))
    lacking = "" if problem or "Name" in fields else "its METADATA has no name"
    return fields.get("Name", "unknown"), fields.get("Version", ""), problem or lacking


def _offers_of(distribution: importlib.metadata.Distribution, package: str, version: str, problem: str) -> list[Offer]:
    """Returns the offers of a distribution, or one offer of kind "package" if they can't be read."""
    # Broken metadata make the package an offer of its own, so that the listing can say what is wrong.
    kinds = {group: kind for kind, group in GROUPS.items()}
    unreadable = _text_of(distribution, "entry_points.txt")[1]
    try:
        entry_points = [] if unreadable else list(distribution.entry_points)
    except (TypeError, ValueError) as error:  # a line that is no entry point
        unreadable = f"its entry_points.txt can't be read: {errors.first_line(error)}"
    if unreadable:
        return [Offer("package", package, package, version, "", unreadable)]
    problem = problem or _api_problem([point.name for point in entry_points if point.group == API_GROUP])
    offered = [point for point in entry_points if point.group in kinds]
    return [Offer(kinds[point.group], point.name, package, version, point.value, problem) for point in offered]


def _api_problem(declared: list[str]) -> str:
    """Returns what is wrong with the plugin API versions that a package declares; without any it counts as version 1."""
    declared = sorted(declared or [UNDECLARED])
    if declared == [str(API)]:
        return ""
    earlier = [str(version) for version in range(1, API)]
    remedy = "docs/migrating.md says what to change" if declared[-1] in earlier else "upgrade one of the two"
    return f"it is made for plugin API {' and '.join(declared)}, and this agentlab has {API}; {remedy}"


def _choice() -> list[str]:
    return [word.strip() for word in os.environ.get(CHOICE, "").split(",") if word.strip()]


def _is_chosen(package: str) -> bool:
    words, name = _choice(), normalized(package)
    without = {normalized(word[1:]) for word in words if word.startswith("-")}
    only = {normalized(word) for word in words if not word.startswith("-")}
    return name not in without and (not only or name in only or name == "agentlab")


def _hidden() -> str:
    """Returns the end of a message about a missing name if packages were left out."""
    return f" ({CHOICE} is {os.environ[CHOICE]!r}, which leaves out packages.)" if _choice() else ""
