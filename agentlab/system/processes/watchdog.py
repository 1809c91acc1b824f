"""Watch: warns that an environment in this process has stopped answering."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType

from agentlab.errors import RunWarning
from agentlab.system.processes import threads

SILENT_SECONDS = 8.0  # after which an environment counts as hung
LOOK_SECONDS = 1.0  # between two looks


class Watch:
    """Warns, once, when a single call of an environment takes some seconds while the watch is entered.

    What happens between two calls, such as compiling or learning, is not the environment's, and not looked at. Looks are
    counted rather than seconds, so that the time for which the process is stopped doesn't count.

    Args:
        name: of the environment.

    Attributes:
        call: what is under way; empty between two calls. Whoever calls the environment says so.
        turns: steps that have been taken so far.
    """

    def __init__(self, name: str) -> None:
        self.call = "vector step"
        self.turns = 0
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
        seen, silent = ("", -1), 0.0
        while not self._stopped.wait(LOOK_SECONDS):
            # The same call since the last look is one that has not answered.
            now = self.call, self.turns
            silent = silent + LOOK_SECONDS if self.call and now == seen else 0.0
            seen = now
            if silent == SILENT_SECONDS:
                warnings.warn(
                    f"The environment {self._name} has not answered for {silent:g} seconds at its {self.call}; still waiting. "
                    "Ctrl-C pressed twice ends the program; a run can then be resumed from its newest checkpoint.",
                    RunWarning,
                    stacklevel=2,
                )
