"""A program that ends with the one that started it, however that ends."""

from __future__ import annotations

import os
import signal
import threading

from agentlab.system.processes import threads

ENDS_WITH_STDIN = "AGENTLAB_ENDS_WITH_STDIN"  # in the environment of a program that is to end once its standard input does


def end_with_it() -> None:
    """Ends this program, as SIGTERM does, once nobody holds its standard input any more, if who started it asks for that."""
    if os.environ.pop(ENDS_WITH_STDIN, ""):
        threads.start(threading.Thread(target=_wait, name="standard input", daemon=True))


def _wait() -> None:
    while os.read(0, 1_024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
