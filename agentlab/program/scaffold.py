"""Writes a package that plugs into agentlab, from the templates beside this file: works and passes its tests as it is."""

from __future__ import annotations

import datetime
import keyword
import pathlib
import re
import shutil
import sys
import tempfile

from agentlab import errors
from agentlab.registry import plugins
from agentlab.registry.kinds import KINDS
from agentlab.system import source_text

TEMPLATES = pathlib.Path(__file__).parent / "templates"
PLACE = {kind: f"{kind}:MyPlugin" for kind in KINDS} | {"task": "tasks:my_plugin"}


def write(name: str, kind: str, directory: pathlib.Path) -> list[pathlib.Path]:
    """Writes the package `name`, which offers a part of a kind and a task, into a new directory of that name.

    Args:
        name: of the distribution, the part and the task.
        kind: "environment", "model", "trainer", "sampler", "memory", "tracker" or "task".
        directory: where the new one goes.

    Returns:
        The files, below the new directory.

    Raises:
        UsageError: the name is none for a package, or taken, or nothing can be written there.
    """
    module = module_name(name)
    _check_free(name, module, directory / name)
    class_name = re.sub(r"[-_.]*([a-z0-9]+)", lambda word: word.group(1).capitalize(), name.lower())
    names = {"my-plugin": name, "my_plugin": module, "MyPlugin": class_name}
    words = {
        **names,
        "# ENTRY_POINTS\n": _replaced(_entry_points(kind), names),
        "a KIND": f"{_article(kind)} {kind}",
        "KIND": kind,
        "OFFER": f"{_article(kind)} {kind}, and a task that shows it" if kind != "task" else "a task",
        "ANOTHER": f"; use the {kind} in another task by its name" if kind != "task" else "",
        "USAGE": _replaced(_usage(kind), names),
        "YEAR": str(datetime.date.today().year),
        "API_VERSION": str(plugins.API),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as temporary:  # all of it or nothing
            draft = pathlib.Path(temporary) / name
            for templates in (TEMPLATES / "common", TEMPLATES / kind):
                _copy(templates, draft, words)
            draft.rename(directory / name)
    except OSError as error:
        raise errors.UsageError(
            f"Plugin {name!r} can't be written to {str(directory)!r}: {error.strerror}. Choose another --directory DIR."
        ) from error
    return sorted(path for path in (directory / name).rglob("*") if path.is_file())


def module_name(name: str) -> str:
    """Returns the name to import a distribution by: "my-plugin" as `my_plugin`.

    Raises:
        UsageError: it is no name for a package.
    """
    if re.search(r"[/\\]|^\.", name):
        raise errors.UsageError(
            f"Plugin name {name!r} is a path; expected a package's name such as 'my-plugin', its place as --directory DIR."
        )
    module = re.sub(r"[-.]+", "_", name).lower()
    fits = re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?", name) and len(name) <= 100
    if not fits or keyword.iskeyword(module):
        raise errors.UsageError(
            f"Plugin name {name!r} is no name for a package; expected up to 100 letters, digits and hyphens, a letter first, "
            "and no word of Python's own."
        )
    return module


def _check_free(name: str, module: str, path: pathlib.Path) -> None:
    taken = ""
    names = (name, plugins.normalized(name))
    offers = [offer for offer in plugins.every() if offer.name in names or plugins.normalized(offer.package) == names[1]]
    if path.exists():
        taken = f"{str(path)!r} exists"
    elif offers:
        taken = f"{offers[0].package} {offers[0].version} offers the {offers[0].kind} {offers[0].name!r}"
    elif module in sys.stdlib_module_names or source_text.locate(module) is not None:
        taken = f"a module {module!r} is installed"
    if taken:
        raise errors.UsageError(f"Plugin name {name!r} is taken: {taken}. Choose another name.")


def _copy(templates: pathlib.Path, target: pathlib.Path, words: dict[str, str]) -> None:
    for template in sorted(path for path in templates.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        path = target / _replaced(str(template.relative_to(templates)).replace("dot-", "."), words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_replaced(template.read_text("utf-8"), words), "utf-8")
        shutil.copymode(template, path)


def _replaced(text: str, words: dict[str, str]) -> str:
    """Returns the text with all words replaced at once, so that what one puts in is not replaced by another."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found.group()], text)


def _entry_points(kind: str) -> str:
    """Returns the tables of pyproject.toml that name what the package offers; placeholders included."""
    kinds = dict.fromkeys([kind, "task"])
    tables = [f'[project.entry-points."{KINDS[each].group}"]\nmy-plugin = "my_plugin.{PLACE[each]}"\n' for each in kinds]
    return "\n".join(tables)


def _article(kind: str) -> str:
    return "an" if kind == "environment" else "a"


def _usage(kind: str) -> str:
    lines = {
        "tracker": "$ agentlab run dqn-cartpole --tracker my-plugin --set trackers.my-plugin.metric=return_mean",
        "task": "$ agentlab run my-plugin --steps 32000 --set trainer.discount=0",
        "environment": "$ agentlab run dqn --environment my-plugin --set environment.length=9",
        "memory": "$ agentlab run dqn-cartpole --memory my-plugin --set memory.size=256",
        "trainer": "$ agentlab run classifier-digits-reward --trainer my-plugin --sampler temperature --memory latest",
    }
    return lines.get(kind, f"$ agentlab run dqn-cartpole --{kind} my-plugin")
