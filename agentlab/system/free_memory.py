"""Raises before allocating more memory than is free, rather than letting the operating system kill the process."""

from __future__ import annotations

import pathlib

from agentlab import errors

MEMINFO = pathlib.Path("/proc/meminfo")
CGROUP = pathlib.Path("/sys/fs/cgroup")


def check_free(needed: int, what: str, setting: str) -> None:
    """Checks that `needed` bytes are free, where the operating system says how many are.

    Raises:
        UsageError: they are not.
    """
    free = free_bytes()
    if free is not None and needed > free:
        raise errors.UsageError(
            f"{what} takes {needed:,} bytes ({needed / 1e9:.1f} GB); only {free:,} ({free / 1e9:.1f} GB) are free. "
            f"Set a smaller {setting}."
        )


def free_bytes() -> int | None:
    """Returns the bytes that a process can still get without swapping, within its container; None if unknown."""
    try:
        fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    except OSError:  # not Linux
        return None
    free, in_container = int(fields["MemAvailable"].split()[0]) * 1024, _free_in_container()
    return free if in_container is None else min(free, in_container)


def _free_in_container() -> int | None:
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cache = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())["inactive_file"]
    except (OSError, KeyError):  # no container
        return None
    return None if limit == "max" else int(limit) - int(used) + int(cache)
