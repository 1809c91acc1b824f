"""The engine ray: runs as tasks of a Ray cluster, each in a process of its own on whatever node has room."""

from __future__ import annotations

import os
import signal
import time
import types
import warnings
from typing import TYPE_CHECKING

from agentlab import errors
from agentlab.sweeps.engine import HANG_SECONDS, POLL_SECONDS, Engine, Job, Outcome, Running
from agentlab.sweeps.local_pool import LocalProcess
from agentlab.system.processes import ray_connection

if TYPE_CHECKING:
    from ray import ObjectRef

LOST = -9  # the code of a run whose worker or node is gone, as if it was killed
FORWARDED = ("AGENTLAB", "TF_", "KERAS_", "XLA_", "PYTHON", "OMP_", "WANDB_", "MLFLOW_")  # how variables begin that runs get
WORKER_ONLY = "OMP_NUM_THREADS"  # which Ray sets in its workers: threads may change how sums are rounded


class RayCluster(Engine):
    """Runs jobs as tasks of Ray. Their files are on a disk that all nodes share.

    Args:
        size: how many are handed to Ray at a time; None for all, of which Ray runs as many as there is room for.
        address: of the cluster; None for that of RAY_ADDRESS, or else a new one on this machine.
        cpus: that a run needs.
        gpus: that a run needs; a fraction shares one.
        hang_timeout: as of `Engine`.

    Raises:
        UsageError: Ray is not installed, or the cluster can't be reached.
    """

    def __init__(
        self, size: int | None, address: str | None, cpus: int, gpus: float, hang_timeout: float = HANG_SECONDS
    ) -> None:
        super().__init__(size, hang_timeout)
        self._ray, self._is_own = ray_connection.connected(address)
        self._remote = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(make)
        self._warn_of_room(cpus, gpus)

    def _warn_of_room(self, cpus: int, gpus: float) -> None:
        """Warns where no node has what a run needs: the runs wait until one joins."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            warnings.warn(
                f"No node of the Ray cluster has the {cpus} CPUs and {gpus:g} GPUs that a run needs: the runs wait until one "
                "joins. Ask for less with --cpus and --gpus.",
                errors.RunWarning,
                stacklevel=3,
            )

    def start(self, job: Job) -> Running:
        variables = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
        reference = self._remote.remote(job, self._hang_timeout, variables, os.getcwd())  # noqa: PTH109
        return RayTask(self._ray, job, reference)

    def close(self) -> None:
        if self._is_own:
            self._ray.shutdown()


class RayTask(Running):
    """A job as a task.

    Args:
        ray: the module.
        job: that the task makes.
        reference: to what the task will return.
    """

    def __init__(self, ray: types.ModuleType, job: Job, reference: ObjectRef[Outcome]) -> None:
        self.job = job
        self._ray, self._reference = ray, reference
        self._begin, self._is_ending = time.monotonic(), False

    def outcome(self) -> Outcome | None:
        if not self._ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:
            code = 128 + 15 if self._is_ending else LOST
            return Outcome(self.job, code, errors.first_line(error), time.monotonic() - self._begin)

    def end(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._ray.cancel(self._reference)

    def kill(self) -> None:
        self._ray.cancel(self._reference, force=True)


def make(job: Job, hang_timeout: float, variables: dict[str, str], directory: str) -> Outcome:
    """Makes a job on a node of the cluster; returns its outcome.

    Args:
        job: to be made.
        hang_timeout: as of `Engine`.
        variables: of the environment of the program that asks for it.
        directory: in which that program runs, which this node shares.
    """
    import ray

    # Ray cancels by SIGINT, which is ignored where a shell has started the program, and so the cluster, in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    # The run can tell where it is made.
    context = ray.get_runtime_context()
    own = {"RAY_JOB_ID": context.get_job_id(), "RAY_NODE_ID": context.get_node_id(), "RAY_ADDRESS": context.gcs_address}
    os.environ.pop(WORKER_ONLY, None)
    process = LocalProcess(job, hang_timeout, {**variables, **own}, directory)
    try:
        return _awaited(process)
    except BaseException:  # the task is cancelled: the run ends with a checkpoint
        process.end()
        _awaited(process)
        raise


def _awaited(process: LocalProcess) -> Outcome:
    while (outcome := process.outcome()) is None:
        time.sleep(POLL_SECONDS)
    return outcome
