"""Packages: what those that are installed offer, read from their metadata; nothing of them is imported."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import sys

import attrs

from agentlab import errors
from agentlab.registry.kinds import KINDS

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


def offers() -> list[Offer]:
    """Returns the offers of all packages that the environment variable AGENTLAB_PLUGINS doesn't leave out."""
    return [offer for package, offered in _installed(_places()) if _is_chosen(package) for offer in offered]


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


def left_out() -> str:
    """Returns the end of a message about a missing name if packages were left out."""
    return f" ({CHOICE} is {os.environ[CHOICE]!r}, which leaves out packages.)" if _choice() else ""
