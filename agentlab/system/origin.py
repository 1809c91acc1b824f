"""Where something was made: host, process, command, job of a cluster, git commit, processor and device."""

from __future__ import annotations

import functools
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

from agentlab.system import machine

JOB_VARIABLES = (  # of the environment, by which a cluster names a job
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "PBS_JOBID",
    "LSB_JOBID",
    "RAY_JOB_ID",
    "RAY_NODE_ID",
)
GIT_SECONDS = 5.0  # that git may take, such as in a repository on a slow network disk
GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false")  # which runs no program that a repository names


def facts() -> dict[str, Any]:
    """Returns host, process, command, job, git, device and processor, as JSON can hold them."""
    return {
        "host": platform.node(),
        "process": os.getpid(),
        "command": shlex.join(sys.orig_argv),
        "job": {name: os.environ[name] for name in JOB_VARIABLES if os.environ.get(name)},
        "git": _git_facts(os.getcwd()),  # noqa: PTH109 - as a key
        "device": _device(),
        "processor": _processor(),
    }


@functools.cache  # code is imported once, and so is what it is of
def _git_facts(directory: str) -> dict[str, str | bool]:
    """Returns the commit of the repository that a directory is in, and whether tracked files differ; empty without one."""
    here = pathlib.Path(directory)
    if not any((folder / ".git").exists() for folder in (here, *here.parents)):
        return {}
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return {} if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(*words: str) -> str | None:
    """Returns what git prints in the current directory; None if it fails, takes too long, or isn't there."""
    try:
        process = subprocess.run(
            [*GIT, *words], capture_output=True, text=True, errors="replace", timeout=GIT_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip() if process.returncode == 0 else None


@functools.cache
def _processor() -> str:
    """Returns the processor's name, such as "AMD EPYC 7B13"."""
    return machine.cpu().get("model name") or platform.processor() or platform.machine()


@functools.cache
def _device() -> str:
    """Returns the name of the device that TensorFlow computes on: that of the first GPU, or "cpu"."""
    import tensorflow as tf

    devices = tf.config.get_visible_devices("GPU")
    if not devices:
        return "cpu"
    return str(tf.config.experimental.get_device_details(devices[0]).get("device_name", "gpu"))
