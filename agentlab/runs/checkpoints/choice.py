"""Which checkpoint of a run to use: the newest complete one, or that of a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from agentlab import errors
from agentlab.runs.checkpoints.store import Checkpoint, Checkpoints
from agentlab.system import files
from agentlab.system.files import UnreadableError


def newest(checkpoints: Checkpoints, check: Callable[[Checkpoint], None]) -> Checkpoint | None:
    """Returns the checkpoint of the highest step that passes a check, None if there are none; warns of those passed over.

    Raises:
        CheckpointFault: none of those there are passes.
    """
    reasons = []
    for step in reversed(_steps(checkpoints)):
        try:
            checkpoint = checkpoints.open(step)
            check(checkpoint)
        except UnreadableError as error:
            if not checkpoints.has(step):  # removed meanwhile by the run, which is under way and has a newer one
                return newest(checkpoints, check)
            reasons.append(f"step-{step}: {error}")
            continue

        # The run continues from an older checkpoint, and says why.
        if reasons:
            message = f"Checkpoint passed over: {files.some(reasons)}. Using step-{step}."
            warnings.warn(message, errors.RunWarning, stacklevel=3)
        return checkpoint
    if reasons:
        raise errors.CheckpointFault(
            f"No checkpoint in {str(checkpoints.directory)!r} is whole: {files.some(reasons)}. Restore one from a copy, or "
            "remove them all to start again."
        )
    return None


def _steps(checkpoints: Checkpoints) -> list[int]:
    try:
        return checkpoints.steps()
    except UnreadableError as error:
        raise errors.UsageError(
            f"The checkpoints in {str(checkpoints.directory.parent)!r} can't be used: {error}. Remove that, or bring the run's "
            "own back."
        ) from error


def chosen(checkpoints: Checkpoints, step: int) -> Checkpoint:
    """Returns the checkpoint of a step.

    Raises:
        UsageError: there is none, or its agent is not whole.
    """
    try:
        checkpoint = checkpoints.open(step)
        check_agent(checkpoint)
    except UnreadableError as error:
        there = ", ".join(f"{known:,}" for known in _steps(checkpoints)) or "none"
        raise errors.UsageError(f"The checkpoint of step {step:,} can't be used: {error}. Available steps: {there}.") from error
    return checkpoint


def check_agent(checkpoint: Checkpoint) -> None:
    """Raises UnreadableError if a checkpoint's agent is not whole."""
    checkpoint.verify(["agent"])


def check_whole(checkpoint: Checkpoint, metrics_bytes: int) -> None:
    """Raises UnreadableError if a checkpoint is not one to resume from."""
    checkpoint.verify()
    saved_bytes = checkpoint.facts["metrics_bytes"]
    if saved_bytes > metrics_bytes:
        raise UnreadableError(f"metrics.jsonl has {metrics_bytes:,} bytes, of which the checkpoint counts {saved_bytes:,}")
