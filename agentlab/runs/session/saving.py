"""The checkpoints of a run under way: what each holds besides arrays, and who learns that it is on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import attrs

from agentlab import errors
from agentlab.runs.assembly import Assembly
from agentlab.runs.checkpoints import Checkpoint, snapshot
from agentlab.runs.checkpoints.committer import Committer
from agentlab.runs.checkpoints.cutting import CutArray
from agentlab.runs.checkpoints.store import cut_arrays
from agentlab.runs.files.run_directory import METRICS, Best, Result, RunDirectory
from agentlab.runs.trackers.several import Trackers
from agentlab.system import machine
from agentlab.system.processes.clock import Clock


@attrs.frozen(eq=False)
class RunFiles:
    """Where a run leaves its results.

    Attributes:
        directory: of the run, locked.
        trackers: that follow it; the one named `METRICS` writes metrics.jsonl.
        committer: puts its checkpoints on disk.
    """

    directory: RunDirectory
    trackers: Trackers
    committer: Committer

    def close(self, result: Result | None) -> None:
        """Waits for the last checkpoint, then ends the trackers; the result is None if there is none."""
        try:
            self.committer.wait()
            self.tell_of_checkpoints()
        finally:
            self.trackers.end(cast("dict[str, Any] | None", result))

    def tell_of_checkpoints(self) -> None:
        """Notifies the trackers of the checkpoints that have reached the disk since the last call.

        Raises:
            WriteFault: one can't be.
        """
        self.committer.check()
        for step in self.committer.take_committed():
            self.trackers.checkpoint(self.directory.checkpoints.directory / f"step-{step}")


class Saving:
    """Takes a run's checkpoints, and carries what continues from one to the next.

    Attributes:
        best: step and mean return of the best evaluation during training; None before the first.
        is_exact: whether all is bit for bit what one session would have reached.
    """

    def __init__(self) -> None:
        self.best: Best | None = None
        self.is_exact = True
        self._machine = machine.facts()
        self._cut: Mapping[str, CutArray] = {}  # large arrays as the last checkpoint has them, by name

    def restore(self, checkpoint: Checkpoint, is_exact: bool, cut: Mapping[str, CutArray]) -> None:
        """Continues from a checkpoint.

        Args:
            checkpoint: one of the run.
            is_exact: whether the run does so bit for bit.
            cut: the result of `snapshot.put`.
        """
        self._cut = cut
        self.best = checkpoint.facts["best"]
        self.is_exact = bool(checkpoint.facts["exact"]) and is_exact

    def take_in(self, step: int, evaluation: dict[str, Any]) -> bool:
        """Records an evaluation during training, and returns whether it is the best so far; an empty one never is."""
        is_finite = bool(evaluation) and math.isfinite(evaluation["return_mean"])
        is_best = is_finite and (self.best is None or evaluation["return_mean"] > self.best["return_mean"])
        if is_best:
            self.best = {"step": step, "return_mean": float(evaluation["return_mean"])}
        return is_best

    def save(self, files: RunFiles, assembly: Assembly, step: int, clock: Clock, inexact: str) -> None:
        """Takes the current state and begins to commit it, unless that was done at this step already."""
        committer = files.committer
        if committer.handed_over == step:
            return
        committer.wait()  # so that there are never two copies

        # What could not be restored is left out; blocks that somebody has changed or removed are written again.
        earlier = {name: files.directory.checkpoints.blocks.with_sound(cut) for name, cut in self._cut.items()}
        taken = snapshot.take(assembly.agent, assembly.gear, earlier)
        groups = {group: held for group, held in taken.items() if not (inexact and group == "environment")}
        self._cut = cut_arrays(taken)

        # Facts of the manifest besides arrays.
        facts = {**self._facts(files.trackers), "live": dict(assembly.agent.live.changed)}
        committer.begin(step, groups, {**facts, "seconds": clock.as_data(), **self._machine})

    def _facts(self, trackers: Trackers) -> dict[str, Any]:
        states = trackers.state()
        metrics = states.pop(METRICS, {"bytes": 0})
        return {"metrics_bytes": metrics["bytes"], "best": self.best, "exact": self.is_exact, "trackers": states}


def tracker_states(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the states of the trackers, by name, as they were when a checkpoint was taken."""
    return {**checkpoint.facts.get("trackers", {}), METRICS: {"bytes": checkpoint.facts["metrics_bytes"]}}


def with_newest(error: errors.AgentlabError, committer: Committer) -> errors.AgentlabError:
    """Returns an error that ended a run, with a sentence about what it can be resumed from if anything was begun."""
    if not isinstance(error, errors.UsageError) or committer.newest() >= 0:
        error.args = (f"{str(error).rstrip('.')}. {committer.describe()}", *error.args[1:])
    return error
