"""A run's config.json: read, and written so that it can be read back."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

import attrs

from agentlab import configuration, errors
from agentlab import task as tasks
from agentlab.checks import limits
from agentlab.registry import packages, plugins
from agentlab.runs.files.run_directory import CONFIG, is_blank
from agentlab.spec import EnvironmentSpec
from agentlab.system import files
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.system.folder import Folder
from agentlab.task import Task

VERSION_1 = re.compile(r"[01](?!\d)")  # how the versions of agentlab begin whose checkpoints have another form


@attrs.frozen
class RunConfig:
    """What config.json says.

    Attributes:
        task: that is run.
        seed: of the run.
        spec: of the environment.
        inexact: why the run can't be resumed to the same bits; empty if it can.
        data: all of it, such as what the run was begun on.
    """

    task: Task
    seed: int
    spec: EnvironmentSpec
    inexact: str
    data: dict[str, Any]


def open_run(directory: str | os.PathLike[str]) -> Folder:
    """Opens a run's directory.

    Raises:
        UsageError: there is none, or it holds no config.
    """
    limits.check_path(directory)  # as it was given: an empty one would be the current directory
    path = pathlib.Path(directory)
    try:
        folder = Folder.open(path)
        if folder.has(CONFIG):
            return folder
        begun = "; its process was killed before it wrote one: 'agentlab run' takes it" if is_blank(folder) else ""
    except (OSError, ValueError, UnreadableError):
        begun = ""
    raise errors.UsageError(f"{str(path)!r} is not a run: it holds no {CONFIG}{begun}. Name a directory such as runs/TASK/0-1.")


def read_config(folder: Folder, path: pathlib.Path, trust: bool = False) -> RunConfig:
    """Returns the contents of the config.json in a run's directory.

    Args:
        folder: the directory.
        path: of the directory, for messages.
        trust: whether it may ask for what only a user may ask for.

    Raises:
        UsageError: it can't be read, is of version 1, doesn't say of which package a part is that several offer, or asks for
            more than a file may.
    """
    try:
        data = folder.read_json(CONFIG)
    except UnreadableError as error:
        raise configuration.unusable_config(path / CONFIG, error) from error
    if version := version_1_of(data):
        raise errors.UsageError(
            f"{str(path)!r} is a run of agentlab {version}, whose checkpoints this version can't read. "
            "Open it with version 1, in a Python environment of its own: pip install 'agentlab<2'."
        )

    # Several packages may offer the name by now.
    config = _config_of(data, path / CONFIG)
    _check_packages(config.task, path / CONFIG)
    if trust:
        return attrs.evolve(config, task=configuration.trusted(config.task))
    limits.check_asked(config.task.as_data(), str(path / CONFIG))
    return config


def version_1_of(data: dict[str, Any]) -> str:
    """Returns the version of agentlab that the data of a config.json are of, if it is before 2; else an empty text."""
    versions = data.get("versions")
    version = versions.get("agentlab") if isinstance(versions, dict) else None
    return version[:40] if isinstance(version, str) and VERSION_1.match(version) else ""


def _check_packages(task: Task, file: pathlib.Path) -> None:
    """Raises UsageError if a part that has no package, as in older configs, is offered by several that are installed."""
    for _, kind, part in tasks.parts_of(task):
        offers = plugins.candidates(kind, part.reference) if ":" not in part.reference else []
        if len(offers) > 1:
            origins = [offer.package for offer in offers]
            raise errors.UsageError(
                f"{str(file)!r} doesn't say of which package its {kind} {part.name!r} is, and several are installed that offer "
                f'one: {" and ".join(origins)}. Say it there, by "package": "{origins[0]}" beside "name": "{part.name}"; or '
                f"leave the others out, such as by {packages.CHOICE}=-{origins[-1]} in front of the command."
            )


def config_bytes(config: dict[str, Any]) -> bytes:
    """Returns the content of a config.json, having read it back.

    Raises:
        UsageError: it could not be read back.
    """
    try:
        data = files.json_bytes(config, CONFIG)
    except UnwritableError as error:
        raise errors.UsageError(
            f"This run can't be recorded: {error}. Change that setting; large data goes into a file that a setting names."
        ) from error
    _config_of(files.parse_json(data.decode("ascii"), CONFIG), pathlib.Path(CONFIG))
    return data


def _config_of(data: dict[str, Any], file: pathlib.Path) -> RunConfig:
    task, seed = configuration.task_and_seed(data, file)
    inexact = data.get("inexact", "")
    spec = EnvironmentSpec.from_data(data.get("spec") or {})
    return RunConfig(task, seed, spec, inexact if isinstance(inexact, str) else "", data)
