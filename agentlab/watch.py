"""Watch: tells that an environment in this process has stopped answering, which nobody else could."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType

from agentlab import threads
from agentlab.errors import RunWarning

SILENT_SECONDS = 8.0  # after which an environment counts as hung
LOOK_SECONDS = 1.0  # between two looks


class Watch:
    """Warns, once, when a single call of an environment takes some seconds while the watch is entered.

    What happens between two calls, such as compiling or learning, is not the environment's, and not looked at. Looks are
    counted rather than seconds, so that the time for which the process is stopped doesn't count.

    Args:
        name: of the environment.

    Attributes:
        call: the method that is being called; empty between two calls. Whoever calls it says so.
        calls: that have ended so far.
    """

    def __init__(self, name: str) -> None:
        self.call = ""
        self.calls = 0
        self._name = name
        self._entered = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._entered += 1
        if self._entered == 1:
            self._stopped.clear()
            thread = threading.Thread(target=self._look, name="environment watch", daemon=True)
            self._thread = thread if threads.start(thread) else None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._stopped.set()
            if self._thread is not None:
                self._thread.join()

    def _look(self) -> None:
        call, silent = -1, 0.0
        while not self._stopped.wait(LOOK_SECONDS):
            silent = silent + LOOK_SECONDS if self.call and self.calls == call else 0.0
            call = self.calls
            if silent == SILENT_SECONDS:
                warnings.warn(
                    f"The environment {self._name} has not answered for {silent:g} seconds in its {self.call or 'call'}; still "
                    "waiting. Ctrl-C pressed twice ends the program; 'agentlab resume' then goes on from its checkpoint.",
                    RunWarning,
                    stacklevel=2,
                )
