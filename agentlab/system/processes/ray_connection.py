"""The connection of this process to a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import threading
import types
from collections.abc import Iterator

from agentlab import errors

HOST_AND_PORT = re.compile(r"(?P<host>[^:/]+):(?P<port>\d{1,5})")
CONNECT_SECONDS = 10.0


def connected(address: str | None = None) -> tuple[types.ModuleType, bool]:
    """Returns the module `ray`, connected to a cluster, and whether it was this call that connected it.

    A cluster that the program uses already is used, and left as it is.

    Args:
        address: of the cluster; None for that of RAY_ADDRESS, or else one that runs on this machine, or a new one.

    Raises:
        UsageError: Ray is not installed, or the cluster can't be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise errors.UsageError("Ray is not installed: pip install 'agentlab[ray]'.") from error
    if ray.is_initialized():
        return ray, False
    try:
        _check_answers(address or os.environ.get("RAY_ADDRESS", ""))
        with _same_handlers():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of whatever kind: a wrong address, no permission, another version
        raise errors.UsageError(
            f"No Ray cluster can be reached at {address or os.environ.get('RAY_ADDRESS') or 'this machine'}: "
            f"{errors.first_line(error)}. Start one with 'ray start --head', or name one with --address HOST:PORT or "
            "RAY_ADDRESS."
        ) from error
    return ray, True


def _check_answers(address: str) -> None:
    """Raises OSError if nobody answers at an address of the form HOST:PORT, for which Ray itself waits minutes."""
    if match := HOST_AND_PORT.fullmatch(address):
        socket.create_connection((match["host"], int(match["port"])), CONNECT_SECONDS).close()


@contextlib.contextmanager
def _same_handlers() -> Iterator[None]:
    """Has SIGTERM do afterwards what it did before: Ray would end this process without a checkpoint."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
