"""Exports a policy: traced, written, run beside the agent, and put in place."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence

import attrs

from agentlab import errors
from agentlab.checks import limits
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export import met
from agentlab.loop.export.format import UnsupportedError
from agentlab.loop.export.formats import FORMATS
from agentlab.loop.export.met import Met


@attrs.frozen
class Export(os.PathLike[str]):
    """An exported policy.

    Attributes:
        path: of the file or directory.
        format: that it is in.
        inputs: dtype and shape of each input by name, such as "float32 [None, 4]"; None is the number of observations.
        outputs: the same of the outputs.
        num_random: on how many random observations it was compared with the agent.
        num_recorded: on how many that the agent met in its environment.
    """

    path: pathlib.Path
    format: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    num_random: int
    num_recorded: int

    def __fspath__(self) -> str:
        return str(self.path)


def check_target(path: str | os.PathLike[str], format: str) -> None:
    """Raises UsageError if there is no such format, its package is missing, or nothing can be written to the path."""
    if format not in FORMATS:
        raise errors.UsageError(errors.unknown("format", format, FORMATS, "Formats"))
    FORMATS[format].check(pathlib.Path(path))
    limits.check_path(path)
    if os.path.lexists(path):
        raise errors.UsageError(f"{str(path)!r} exists, and files are never overwritten. Name another path.")


def export_policy(actor: PolicyActor, path: str | os.PathLike[str], format: str, recorded: Sequence[Met] = ()) -> Export:
    """Writes the policy of an actor in a format, once it has been run beside the actor.

    Args:
        actor: that hasn't acted yet.
        path: of a new file, or a new directory for "saved-model".
        format: of `FORMATS`.
        recorded: what it met in its environment, `agentlab.loop.export.met.record`; they are compared on this too.

    Raises:
        UsageError: there is no such format, its package is missing, the path exists or can't be written, or the format lacks
            something of the policy.
    """
    # Everything that can be refused is refused before anything is traced.
    check_target(path, format)
    where, spec = pathlib.Path(path), actor.policy.perception.environment_spec

    # Written beside its place, so that there is never half of it.
    try:
        with _beside(where) as unfinished:
            signature = FORMATS[format].export(actor, [*met.random(spec), *recorded], unfinished)
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
    return Export(where, format, signature.inputs, signature.outputs, met.RANDOM_STEPS * met.ROWS, _count(recorded))


def _count(steps: Sequence[Met]) -> int:
    """Returns the number of observations in steps."""
    return sum(len(step.begun) for step in steps)


@contextlib.contextmanager
def _beside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a place for what is to be moved to `path`, and removes what is left there at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".exporting-", dir=path.absolute().parent))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
