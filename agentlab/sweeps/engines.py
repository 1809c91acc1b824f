"""Engines by name."""

from __future__ import annotations

from agentlab import errors
from agentlab.sweeps.begun import default_jobs
from agentlab.sweeps.engine import Engine
from agentlab.sweeps.local_pool import LocalPool
from agentlab.task import Task

ENGINES = ("local", "ray")


def make_engine(
    name: str, task: Task, jobs: int | None, address: str | None = None, cpus: int | None = None, gpus: float | None = None
) -> Engine:
    """Returns an engine.

    Args:
        name: "local" or "ray".
        task: whose runs it makes.
        jobs: at a time; None for as many as there is room for.
        address: of a Ray cluster.
        cpus: that a run needs, with Ray; None for the task's threads.
        gpus: that a run needs, with Ray.

    Raises:
        UsageError: there is no such engine, it is not installed, or can't be reached.
    """
    if jobs is not None and jobs < 1:
        raise errors.UsageError(f"--jobs is {jobs}; expected a whole number of at least 1.")
    if name == "ray":
        from agentlab.sweeps.ray_cluster import RayCluster

        return RayCluster(jobs, address, cpus or max(1, task.threads), gpus or 0.0)
    if name != "local":
        raise errors.UsageError(errors.unknown("engine", name, ENGINES, "Engines"))
    if address is not None or cpus is not None or gpus is not None:
        raise errors.UsageError("--address, --cpus and --gpus need the engine ray: add --engine ray, or leave them out.")
    return LocalPool(jobs or default_jobs(task))
