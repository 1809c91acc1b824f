"""The commands that resume or use a run, for messages: each works when it is typed."""

from __future__ import annotations

import os
import pathlib
import shlex
from collections.abc import Mapping, Sequence

import keras

from agentlab import configuration, errors, settings
from agentlab.checks import limits
from agentlab.registry import environment_objects, plugins
from agentlab.runs.composition import check_imports, check_origin, evaluation_environment
from agentlab.runs.files.run_directory import CONFIG
from agentlab.runs.model_building import MOST_WEIGHTS_OF_FILE
from agentlab.system import files
from agentlab.task import Task, parts_of
from agentlab.tensors import model_footprint


def command(
    name: str,
    path: str | os.PathLike[str],
    task: Task,
    models: Mapping[str, Sequence[keras.Model]] | None = None,
    own_model: bool = False,
) -> str:
    """Returns the command `name` for a run: `agentlab resume RUN`, with the options that this run needs.

    Where the run has objects of the user's own, which only Python can give again, it is a call: `agentlab.resume(...)`.

    Args:
        name: "resume" or "evaluate".
        path: of the run's directory.
        task: of the run, with its objects or placeholders of them.
        models: of the run's networks, the acting one first, if they are built.
        own_model: whether the acting network's model is the user's own.
    """
    networks = dict(list((models or {}).items())[1:] if own_model else models or {})
    trust = needs_trust(task, networks)
    held_objects = bool(settings.former_object(task.as_data()))
    id = task.environment.settings.get("id")
    own_environment = isinstance(id, str) and id.startswith(environment_objects.NAMESPACE)  # known in this process alone
    if name == "resume" and (own_model or held_objects or own_environment):
        arguments = [repr(os.fspath(path)), *(["model=..."] if own_model else []), *(["objects=..."] if held_objects else [])]
        return f"agentlab.resume({', '.join([*arguments, *(['trust=True'] if trust else [])])})"
    words = ["agentlab", name, *plain_words(path), *(["--trust"] if trust else [])]
    for file in plugin_files(task):
        words += ["--plugin", shlex.quote(file)]
    return " ".join(words)


def plain_words(path: str | os.PathLike[str]) -> list[str]:
    """Returns a path for a shell: quoted where needed, and not to be taken for an option."""
    text = os.fspath(path)
    return [shlex.quote(os.path.join(".", text) if text.startswith("-") else text)]  # noqa: PTH118 - pathlib drops the dot


def command_of(name: str, path: pathlib.Path) -> str:
    """Returns `command` for the run in a directory, as far as its config.json can be read."""
    try:
        task = configuration.task_and_seed(files.read_json(path / CONFIG), path / CONFIG)[0]
        return command(name, path, task)
    except (errors.AgentlabError, files.UnreadableError):
        return " ".join(["agentlab", name, *plain_words(path)])


def needs_trust(task: Task, models: Mapping[str, Sequence[keras.Model]]) -> bool:
    """Returns whether a run's config.json asks for what only a user may ask for: by the checks of those who read it.

    Args:
        task: of the run.
        models: by network, those that the task's settings build.
    """
    asked = configuration.of_file(task)
    asked_for = {name: copies for name, copies in models.items() if asked.models.get(name, asked.model).from_file}
    try:
        limits.check_asked(asked.as_data(), CONFIG)
        for part in (asked.environment, evaluation_environment(asked)):
            check_imports(plugins.load("environment", part.reference), part)
        for _, kind, part in parts_of(asked):
            check_origin(plugins.load(kind, part.reference), kind, part)
        for copies in asked_for.values():
            model_footprint.check(copies[0], 1, "model", of_file=True)
    except errors.UsageError:
        return True

    # The limit is on the weights of all networks together, see `within_reason`.
    weights = sum(model.count_params() for copies in models.values() for model in copies)
    return bool(asked_for) and weights > MOST_WEIGHTS_OF_FILE


def plugin_files(task: Task) -> list[str]:
    """Returns the single files that the task's parts come from, each once."""
    files_of_parts = [plugins.file_of(kind, part.reference) for _, kind, part in parts_of(task)]
    return list(dict.fromkeys(filter(None, files_of_parts)))
