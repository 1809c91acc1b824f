"""Files that hold a task or changes to one: TOML files, and the config.json of a run. Imports no TensorFlow."""

from __future__ import annotations

import pathlib
from typing import Any

from agentlab import errors
from agentlab.checks import limits, toml
from agentlab.configuration.changes import of_file
from agentlab.system import files
from agentlab.task import Task, as_table


def read_config(path: str, trust: bool = False) -> dict[str, Any]:
    """Returns the changes in a TOML file, or the task in a run's config.json.

    Args:
        path: of the file.
        trust: whether it may ask for more than other files.

    Raises:
        UsageError: the file cannot be read or parsed, or asks for more than a file may.
    """
    limits.check_path(path)
    file = pathlib.Path(path)
    if file.suffix == ".json":
        return read_run_config(file, trust)[0].as_data()
    data, _ = read_toml(file, "Config file")

    # A file may come from anybody, so what it asks for is limited unless it is trusted.
    if not trust:
        limits.check_asked(data, path)
    return data


def read_toml(file: pathlib.Path, what: str) -> tuple[dict[str, Any], str]:
    """Returns the tables of a TOML file, of limited size, and its text.

    Args:
        file: to be read.
        what: it is, for messages, such as "Config file".

    Raises:
        UsageError: it can't be read or parsed, or is too large.
    """
    named = f"{what} {str(file)!r}"
    try:
        text = files.read_text(file, toml.LARGEST, follow=True)
        data = toml.parse(text)
    except files.UnreadableError as error:
        remedy = "Fix it, or name another TOML file." if file.is_file() else "Name an existing TOML file."
        raise errors.UsageError(f"{named} can't be used: {error}. {remedy}") from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise errors.UsageError(f"{named} is not valid: {reason}. Fix that line.") from error
    limits.check_values(data)
    limits.check_size(data, named)
    return data, text


def read_run_config(file: pathlib.Path, trust: bool = False) -> tuple[Task, int, dict[str, Any]]:
    """Returns the task and the seed in a run's config.json, and everything it says.

    Args:
        file: to be read.
        trust: whether it may ask for more than other files.

    Raises:
        UsageError: it is not a run's config, or asks for more than a file may.
    """
    try:
        data = files.read_json(file)
    except files.UnreadableError as error:
        raise unusable_config(file, error) from error
    task, seed = task_and_seed(data, file)
    if not trust:
        limits.check_asked(task.as_data(), str(file))
    return task, seed, data


def task_and_seed(data: dict[str, Any], file: pathlib.Path) -> tuple[Task, int]:
    """Returns the task and the seed in the data of a run's config.json; `file` is for messages.

    Raises:
        UsageError: there are none.
    """
    seed = data.get("seed")
    if not isinstance(data.get("task"), dict) or type(seed) is not int:
        beside = file.with_name("config.json")
        hint = f", such as {str(beside)!r} beside it" if beside != file and beside.is_file() else ""
        raise errors.UsageError(
            f"Config file {str(file)!r} lacks a table 'task' or a whole number 'seed'; expected a run's config.json{hint}."
        )
    limits.check_size(data, f"Config file {str(file)!r}")
    return of_file(Task.from_data(as_table(data["task"], "the task"))), seed


def unusable_config(file: pathlib.Path, error: Exception) -> errors.UsageError:
    """Returns the error of a config.json that can't be read."""
    return errors.UsageError(f"Config file {str(file)!r} can't be used: {error}. Expected a run's config.json.")
