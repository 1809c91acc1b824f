"""A program that another one started and looks after: it ends with that one, however that ends, and gives it signs of life."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from agentlab.system.processes import threads

SUPERVISED = "AGENTLAB_SUPERVISED"  # in the environment of a program whose standard input ends with the one that started it,
# and whose standard output is a file, of which that one looks at the time of the last change


class _Supervision:
    is_on = False


def begin() -> None:
    """Ends this program, as SIGTERM does, once nobody holds its standard input any more, if who started it asks for that."""
    if os.environ.pop(SUPERVISED, ""):
        _Supervision.is_on = True
        threads.start(threading.Thread(target=_wait, name="standard input", daemon=True))


def give_sign_of_life() -> None:
    """Changes the time of standard output, if who started this program looks at it."""
    if _Supervision.is_on:
        with contextlib.suppress(OSError):
            os.utime(1)


def _wait() -> None:
    while os.read(0, 1_024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
