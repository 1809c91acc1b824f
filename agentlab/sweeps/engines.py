"""Engines by name, and what is chosen about them."""

from __future__ import annotations

import math

import attrs

from agentlab import errors
from agentlab.sweeps.begun import default_jobs
from agentlab.sweeps.engine import HANG_SECONDS, Engine
from agentlab.sweeps.local_pool import LocalPool
from agentlab.task import Task

ENGINES = ("local", "ray")


@attrs.frozen
class EngineOptions:
    """Where runs are made, and how many at a time.

    Attributes:
        engine: "local" or "ray".
        jobs: runs at a time; None for as many as there is room for.
        address: of a Ray cluster; None for that of RAY_ADDRESS, or a new one on this machine.
        cpus: that a run needs, with Ray; None for the task's threads.
        gpus: that a run needs, with Ray; None for none.
        hang_timeout: seconds without a sign of life after which a run is ended and counts as failed; None for an hour.
    """

    engine: str = "local"
    jobs: int | None = None
    address: str | None = None
    cpus: int | None = None
    gpus: float | None = None
    hang_timeout: float | None = None

    def make(self, task: Task) -> Engine:
        """Returns an engine for the runs of a task.

        Raises:
            UsageError: there is no such engine, it is not installed, or can't be reached; or a number is out of its range.
        """
        if self.jobs is not None and self.jobs < 1:
            raise errors.UsageError(f"--jobs is {self.jobs}; expected a whole number of at least 1.")
        seconds = HANG_SECONDS if self.hang_timeout is None else self.hang_timeout
        if not 0 < seconds < math.inf:
            raise errors.UsageError(f"--hang-timeout is {seconds:g}; expected more than 0 seconds.")
        if self.engine == "ray":
            from agentlab.sweeps.ray_cluster import RayCluster

            return RayCluster(self.jobs, self.address, self.cpus or max(1, task.threads), self.gpus or 0.0, seconds)
        if self.engine != "local":
            raise errors.UsageError(errors.unknown("engine", self.engine, ENGINES, "Engines"))
        if any(value is not None for value in (self.address, self.cpus, self.gpus)):
            raise errors.UsageError("--address, --cpus and --gpus need the engine ray: add --engine ray, or leave them out.")
        return LocalPool(self.jobs or default_jobs(task), seconds)
