"""Exports a policy: traced, written, run beside the agent, and put in place."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import attrs

from agentlab import errors
from agentlab.checks import limits
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export.formats import FORMATS, UnsupportedError
from agentlab.loop.export.policy_function import policy_function
from agentlab.loop.export.verification import verify
from agentlab.types import Tensor

MOST_WEIGHTS = 500_000_000  # of four bytes each: a graph has at most 2 GiB


@attrs.frozen
class Export(os.PathLike[str]):
    """An exported policy.

    Attributes:
        path: of the file or directory.
        format: that it is in.
        inputs: dtype and shape of each input by name, such as "float32 [None, 4]"; None is the number of observations.
        outputs: the same of the outputs.
    """

    path: pathlib.Path
    format: str
    inputs: dict[str, str]
    outputs: dict[str, str]

    def __fspath__(self) -> str:
        return str(self.path)


def export_policy(actor: PolicyActor, path: str | os.PathLike[str], format: str) -> Export:
    """Writes the policy of an actor in a format, once it has been run beside the actor.

    Args:
        actor: that hasn't acted yet.
        path: of a new file, or a new directory for "saved-model".
        format: of `FORMATS`.

    Raises:
        UsageError: there is no such format, its package is missing, the path exists or can't be written, or the format lacks
            something of the policy.
    """
    # Everything that can be refused is refused before anything is traced.
    if format not in FORMATS:
        raise errors.UsageError(errors.unknown("format", format, FORMATS, "Formats"))
    chosen, where = FORMATS[format], pathlib.Path(path)
    chosen.check_installed()
    limits.check_path(path)
    if os.path.lexists(where):
        raise errors.UsageError(f"{str(path)!r} exists, and files are never overwritten. Name another path.")

    # Written beside its place, so that there is never half of it.
    try:
        with _beside(where) as unfinished:
            _check_size(actor)
            policy = policy_function(actor)
            chosen.check(policy)
            chosen.write(policy, unfinished)
            verify(policy, chosen.open(unfinished), actor)
            unfinished.rename(where)
    except UnsupportedError as error:
        sampler = type(actor.policy.sampler).__name__
        raise errors.UsageError(
            f"Format {format!r} can't hold this policy, whose sampler is {sampler}: {str(error).rstrip('.')}. Choose another "
            "format, such as 'saved-model', or another sampler, such as 'greedy'."
        ) from error
    except OSError as error:
        raise errors.UsageError(
            f"{str(path)!r} can't be written: {error.strerror or error}. Name a path in an existing, writable folder."
        ) from error
    outputs = zip(policy.outputs, policy.concrete.outputs, strict=True)
    inputs = {name: _described(spec) for name, spec in policy.inputs.items()}
    return Export(where, format, inputs, {name: _described(tensor) for name, tensor in outputs})


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype.name} {tensor.shape.as_list()}"


def _check_size(actor: PolicyActor) -> None:
    """Raises UnsupportedError if the weights, which become constants, don't fit into a graph."""
    weights = sum(math.prod(weight.shape) for weight in actor.policy.network.model.variables)
    if weights > MOST_WEIGHTS:
        raise UnsupportedError(f"the model has {weights:,} weights, and a graph of constants holds at most {MOST_WEIGHTS:,}")


@contextlib.contextmanager
def _beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a place for what is to be moved to `path`, and removes what is left there at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".exporting-", dir=path.absolute().parent))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
