"""Watch: tells that an environment in this process has stopped answering, which nobody else could."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType

from agentlab.errors import RunWarning
from agentlab.system import threads

SILENT_SECONDS = 8.0  # after which an environment counts as hung
LOOK_SECONDS = 1.0  # between two looks


class Watch:
    """Warns, once, when no turn is counted for some seconds while it is entered.

    Args:
        name: of the environment.

    Attributes:
        turns: taken so far; whoever steps the environment counts them.
    """

    def __init__(self, name: str) -> None:
        self.turns = 0
        self._name = name
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._stopped.clear()
        thread = threading.Thread(target=self._look, name="environment watch", daemon=True)
        self._thread = thread if threads.start(thread) else None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        seen, silent = self.turns, 0.0
        while not self._stopped.wait(LOOK_SECONDS):
            silent = silent + LOOK_SECONDS if self.turns == seen else 0.0
            seen = self.turns
            if silent == SILENT_SECONDS:
                warnings.warn(
                    f"The environment {self._name} has not answered for {silent:g} seconds at its vector step {seen + 1:,}; "
                    "still waiting. Ctrl-C pressed twice ends the program; 'agentlab resume' then goes on from its checkpoint.",
                    RunWarning,
                    stacklevel=2,
                )
