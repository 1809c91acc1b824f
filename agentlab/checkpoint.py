"""Checkpoints: named arrays in safetensors files with a manifest; no pickle, no code, no class paths."""

from __future__ import annotations

import json
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agentlab import errors

SCHEMA = 1


def save(directory: pathlib.Path, step: int, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    """Writes `directory/step-N` from arrays by name, as a whole or not at all, and returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / f"step-{step}"
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".saving-", dir=directory))
    try:
        save_file({name: np.asarray(array) for name, array in arrays.items()}, temporary / "state.safetensors")
        manifest = {"schema": SCHEMA, "step": step, "names": sorted(arrays)}
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        temporary.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)
        temporary.replace(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def newest(directory: pathlib.Path) -> pathlib.Path:
    """Returns the checkpoint of the highest step.

    Raises:
        UsageError: there is none.
    """
    found = [path for path in directory.glob("step-*") if path.name[5:].isdigit()]
    if not found:
        raise errors.UsageError(f"{str(directory)!r} holds no checkpoint; name a run directory in which training has finished.")
    return max(found, key=lambda path: int(path.name[5:]))


def restore(checkpoint: pathlib.Path, variables: dict[str, Any]) -> None:
    """Assigns every variable its saved value; names, shapes and dtypes must match exactly.

    Raises:
        UsageError: the files are damaged, or hold something else than these variables.
    """
    try:
        arrays = load_file(checkpoint / "state.safetensors")
    except (OSError, SafetensorError) as error:
        raise errors.UsageError(f"Checkpoint {str(checkpoint)!r} can't be read: {error}. Use another checkpoint.") from error
    if set(arrays) != set(variables):
        differing = sorted(set(arrays) ^ set(variables))
        raise errors.UsageError(
            f"Checkpoint {str(checkpoint)!r} doesn't fit this agent: {', '.join(differing[:5])} on one side only."
        )
    for name, variable in variables.items():
        array = arrays[name]
        if array.shape != tuple(variable.shape) or array.dtype != variable.dtype.as_numpy_dtype:
            raise errors.UsageError(
                f"Checkpoint {str(checkpoint)!r} has {name} as {array.dtype} {array.shape}; "
                f"expected {variable.dtype.name} {tuple(variable.shape)}."
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])
