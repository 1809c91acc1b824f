"""Writes a package that plugs into agentlab, from the templates beside this file. It runs and passes its tests as it is."""

from __future__ import annotations

import datetime
import keyword
import pathlib
import re
import shutil
import sys
import tempfile

import attrs

from agentlab import errors
from agentlab.registry import packages, plugins
from agentlab.registry.kinds import KINDS
from agentlab.system import source_text

FOLDER = pathlib.Path(__file__).parent / "templates"


@attrs.frozen
class Template:
    """A template of `agentlab plugin new --kind`.

    Attributes:
        noun: what the package is, with its article.
        offer: what it offers.
        parts: where each part is in the package, as "module:Class", by its kind.
        usage: a command that uses the package in another way than its own task does.
        advice: what that command shows, continuing "Change settings with `--set`".
    """

    noun: str
    offer: str
    parts: dict[str, str]
    usage: str
    advice: str


def _template_of_part(kind: str, usage: str = "") -> Template:
    article = "an" if kind == "environment" else "a"
    return Template(
        noun=f"{article} {kind}",
        offer=f"{article} {kind}, and a task that shows it",
        parts={kind: f"{kind}:MyPlugin", "task": "tasks:my_plugin"},
        usage=usage or f"$ agentlab run dqn-cartpole --{kind} my-plugin",
        advice=f"; use the {kind} in another task by its name",
    )


_PARTS_WITH_USAGE = {
    "environment": "$ agentlab run dqn --environment my-plugin --set environment.length=9",
    "memory": "$ agentlab run dqn-cartpole --memory my-plugin --set memory.size=256",
    "tracker": "$ agentlab run dqn-cartpole --tracker my-plugin --set trackers.my-plugin.metric=return_mean",
    "trainer": "$ agentlab run classifier-digits-reward --trainer my-plugin --sampler temperature --memory latest",
}

# By the argument of --kind: every kind of part, and what is made of several.
TEMPLATES = {
    **{kind: _template_of_part(kind, _PARTS_WITH_USAGE.get(kind, "")) for kind in KINDS},
    "task": Template(
        noun="a task",
        offer="a task",
        parts={"task": "tasks:my_plugin"},
        usage="$ agentlab run my-plugin --steps 32000 --set trainer.discount=0",
        advice="",
    ),
    "algorithm": Template(
        noun="an algorithm",
        offer="an algorithm (a trainer with its memory and model), and a task that shows it",
        parts={
            "trainer": "trainer:MyPlugin",
            "memory": "memory:MyPluginMemory",
            "model": "model:MyPluginModel",
            "task": "tasks:my_plugin",
        },
        usage="$ agentlab run dqn-cartpole --trainer my-plugin --memory my-plugin --model my-plugin --sampler stochastic",
        advice="; use the algorithm in another task by the names of its parts",
    ),
}


def write(name: str, kind: str, directory: pathlib.Path) -> list[pathlib.Path]:
    """Writes the package `name` into a new directory of that name: one part or several, and a task.

    Args:
        name: of the package, its parts and the task.
        kind: one of `TEMPLATES`, such as "environment" or "algorithm".
        directory: where the new directory goes.

    Returns:
        The files, below the new directory.

    Raises:
        UsageError: the name is not valid for a package or is taken, or nothing can be written there.
    """
    module = module_name(name)
    _check_free(name, module, directory / name)
    words = _words(name, module, TEMPLATES[kind])

    # A package that is only half there would be in the way of the next try.
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as temporary:  # all of it or nothing
            draft = pathlib.Path(temporary) / name
            for templates in (FOLDER / "common", FOLDER / kind):
                _copy(templates, draft, words)
            draft.rename(directory / name)
    except OSError as error:
        raise errors.UsageError(
            f"Plugin {name!r} can't be written to {str(directory)!r}: {error.strerror}. Choose another --directory DIR."
        ) from error
    return sorted(path for path in (directory / name).rglob("*") if path.is_file())


def _words(name: str, module: str, template: Template) -> dict[str, str]:
    """Returns the text for each placeholder in the templates."""
    class_name = re.sub(r"[-_.]*([a-z0-9]+)", lambda word: word.group(1).capitalize(), name.lower())
    names = {"my-plugin": name, "my_plugin": module, "MyPlugin": class_name}
    return {
        **names,
        "# ENTRY_POINTS\n": _replaced(_entry_points(template), names),
        "A_KIND": template.noun,
        "OFFER": template.offer,
        "ANOTHER": template.advice,
        "USAGE": _replaced(template.usage, names),
        "YEAR": str(datetime.date.today().year),
        "API_VERSION": str(packages.API),
    }


def module_name(name: str) -> str:
    """Returns the name to import a distribution by: "my-plugin" as `my_plugin`.

    Raises:
        UsageError: it is not valid for a package.
    """
    if re.search(r"[/\\]|^\.", name):
        raise errors.UsageError(
            f"Plugin name {name!r} is a path; expected a package's name such as 'my-plugin', its place as --directory DIR."
        )
    module = re.sub(r"[-.]+", "_", name).lower()
    fits = re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?", name) and len(name) <= 100
    if not fits or keyword.iskeyword(module):
        raise errors.UsageError(
            f"Plugin name {name!r} is not a valid package name; expected up to 100 letters, digits and hyphens, the first "
            "a letter, and not a Python keyword."
        )
    return module


def _check_free(name: str, module: str, path: pathlib.Path) -> None:
    taken = ""
    names = (name, packages.normalized(name))
    offers = [offer for offer in plugins.every() if offer.name in names or packages.normalized(offer.package) == names[1]]
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
    return re.sub("|".join(map(re.escape, words)), lambda match: words[match.group()], text)


def _entry_points(template: Template) -> str:
    """Returns the tables of pyproject.toml that name what the package offers; placeholders included."""
    tables = [
        f'[project.entry-points."{KINDS[kind].group}"]\n"my-plugin" = "my_plugin.{place}"\n'
        for kind, place in template.parts.items()
    ]
    return "\n".join(tables)
