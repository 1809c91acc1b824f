"""Where a data set is: in Minari's folder by its id, or at a path."""

from __future__ import annotations

import os
import pathlib
import re

from agentlab.checks import limits

FOLDER = "MINARI_DATASETS_PATH"  # the environment variable that names Minari's folder
ID = re.compile(r"(?:[-_\w]+/)*[-_\w]+-v\d+")  # Minari's: (namespace/)name-vN
DATA, METADATA, MAIN = "data", "metadata.json", "main_data.hdf5"  # names within a data set


def is_id(name: str) -> bool:
    """Returns whether a name is an id, such as "cartpole/expert-v0", rather than a path."""
    return ID.fullmatch(name) is not None


def directory_of(name: str) -> pathlib.Path:
    """Returns the directory of a data set.

    Args:
        name: an id `(namespace/)name-vN`, for a set in Minari's folder; anything else is a path, such as "./expert-v0".

    Raises:
        UsageError: it can't be a path.
    """
    limits.check_path(name)
    if not is_id(name):
        return pathlib.Path(name).expanduser()
    # As minari.load_dataset looks for it.
    folder = os.environ.get(FOLDER)
    return (pathlib.Path(folder) if folder else pathlib.Path.home() / ".minari" / "datasets") / name


def id_of(name: str) -> str:
    """Returns the id under which a set is written: its name, or for a path the directory's name as an id."""
    if is_id(name):
        return name
    plain = re.sub(r"[^-_\w]", "-", directory_of(name).name) or "recording"
    return plain if is_id(plain) else f"{plain}-v0"
