"""Facts of the machine: versions, threads, kernels and vector instructions, which affect rounding; and the process's age."""

from __future__ import annotations

import os
import pathlib
import platform
import time
from importlib import metadata
from typing import Any

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # the variable that tells TensorFlow at import whether to use oneDNN's kernels
LIBRARIES = ("agentlab", "tensorflow", "keras", "numpy", "gymnasium")


def facts() -> dict[str, Any]:
    """Returns the versions, threads, kernels and CPU flags of this process, as JSON can hold them."""
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "threads": _threads(),
        "kernels": {ONEDNN: os.environ.get(ONEDNN, "unset")},
        "cpu_flags": _cpu_flags(),
    }


def differences(facts_there: dict[str, Any]) -> list[str]:
    """Returns the ways in which this machine differs from `facts` of another, as clauses; any of them can change rounding."""
    here, changes = facts(), []
    for kind in ("versions", "threads", "kernels"):
        there = facts_there.get(kind)
        there = there if isinstance(there, dict) else {}
        for name, value in here[kind].items():
            if there.get(name) != value:
                changes.append(f"{name} {str(there.get(name, 'unknown'))[:40]} then, {value} now")

    # The kernels that TensorFlow chooses depend on these.
    flags = facts_there.get("cpu_flags")
    differing = sorted(set(here["cpu_flags"]) ^ {flag for flag in flags or () if isinstance(flag, str)})
    if differing:
        changes.append(f"CPU flags {', '.join(differing)[:200]} on one of the machines only")
    return changes


def device() -> str:
    """Returns in words what TensorFlow computes on: its GPUs, or the CPU and how many cores this process may use."""
    import tensorflow as tf

    if gpus := tf.config.get_visible_devices("GPU"):
        return "the GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"the CPU ({cores} core{'s' if cores > 1 else ''})"


def cache_folder() -> pathlib.Path | None:
    """Returns `agentlab` in the user's cache, for what can be had again; None if the user has no home that exists."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or ""
    if os.path.isabs(cache):  # noqa: PTH117 - another is to be ignored, says the XDG specification
        return pathlib.Path(cache) / "agentlab"
    try:
        home = pathlib.Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "agentlab" if home.is_absolute() and home.is_dir() else None


def cpu() -> dict[str, str]:
    """Returns what the system tells of the first core of the CPU, by the system's names, such as "model name" and "flags"."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    except (OSError, ValueError):
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def start_time() -> float:
    """Returns when this machine was started, in seconds since 1970; now, where the system doesn't tell."""
    try:
        return time.time() - _uptime()
    except (OSError, ValueError, IndexError):
        return time.time()


def process_age() -> float:
    """Returns the seconds since this process started: exact on Linux, else since agentlab was imported."""
    try:
        fields = pathlib.Path("/proc/self/stat").read_text("latin-1").rpartition(")")[2].split()
        return max(0.0, _uptime() - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return time.monotonic() - _IMPORTED


_IMPORTED = time.monotonic()


def _uptime() -> float:
    """Returns the seconds since this machine was started; raises OSError, ValueError or IndexError where it doesn't tell."""
    return float(pathlib.Path("/proc/uptime").read_text("ascii").split()[0])


def _threads() -> dict[str, int]:
    import tensorflow as tf

    threading = tf.config.threading
    return {
        "intra_op": threading.get_intra_op_parallelism_threads(),
        "inter_op": threading.get_inter_op_parallelism_threads(),
        "cores": os.cpu_count() or 0,
    }


def _cpu_flags() -> list[str]:
    """Returns the vector instructions of this CPU, which decide how sums are rounded; empty where the system doesn't tell."""
    return sorted(flag for flag in cpu().get("flags", "").split() if flag.startswith(("sse", "ssse", "avx", "fma", "amx")))
