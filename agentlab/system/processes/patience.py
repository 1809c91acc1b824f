"""Time limits that don't count time for which the process is stopped, such as by Ctrl-Z."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator

from agentlab.system.processes import threads

LOOK_SECONDS = 0.25  # between two looks at the clock; a process that misses one by far was stopped


class Overdue(BaseException):
    """A call took longer than it may; raised inside it, past its own `except Exception`."""


class Patience:
    """Seconds to wait in all.

    Args:
        seconds: of this process's running time.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._looked = time.monotonic()

    def next_wait(self) -> float:
        """Returns how long to wait until the next look; 0 once the seconds are over."""
        now = time.monotonic()
        self._left -= min(now - self._looked, 2 * LOOK_SECONDS)
        self._looked = now
        return max(0.0, min(self._left, LOOK_SECONDS))


def within(seconds: float, function: Callable[[], object]) -> bool:
    """Calls `function` in this thread and returns whether it ended in time; what takes longer is interrupted.

    In the main thread whatever a signal ends is interrupted, such as a sleep; elsewhere only Python's own code is. A call into
    a library that does neither is waited for.
    """
    try:
        with _interrupted_after(seconds):
            function()
    except Overdue:
        return False
    return True


@contextlib.contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    ended, interrupt = threading.Event(), _Interrupt()
    thread = threading.Thread(target=_count_down, args=(seconds, ended, interrupt), name="time limit", daemon=True)
    with interrupt:
        started = threads.start(thread)
        try:
            yield
        finally:
            # Whatever the block did, the thread must not interrupt what comes after it.
            interrupt.armed = False
            ended.set()
            if started:
                thread.join()


def _count_down(seconds: float, ended: threading.Event, interrupt: _Interrupt) -> None:
    patience = Patience(seconds)

    # Time that the process was stopped for, as by Ctrl-Z, does not count.
    while wait := patience.next_wait():
        if ended.wait(wait):
            return
    while not ended.is_set():  # again and again, should the call hold on to the first
        interrupt.send()
        ended.wait(1.0)


class _Interrupt:
    """Raises `Overdue` in the thread that made it, on behalf of another thread.

    The main thread gets a signal that nobody else uses and that does nothing by default, so that blocking calls end.
    """

    def __init__(self) -> None:
        self.armed = True
        self._thread = threading.get_ident()
        main = threading.current_thread() is threading.main_thread()
        self._signals = main and hasattr(signal, "SIGURG") and signal.getsignal(signal.SIGURG) is not None

    def __enter__(self) -> None:
        if self._signals:
            self._previous = signal.signal(signal.SIGURG, self._handle)

    def __exit__(self, *_: object) -> None:
        if self._signals:
            signal.signal(signal.SIGURG, self._previous)
        else:
            self._raise_in_thread(None)

    def send(self) -> None:
        """Interrupts the thread."""
        if self._signals:
            signal.pthread_kill(self._thread, signal.SIGURG)
        else:
            self._raise_in_thread(Overdue)

    def _handle(self, *_: object) -> None:
        if self.armed:
            raise Overdue

    def _raise_in_thread(self, kind: type[BaseException] | None) -> None:
        exception = None if kind is None else ctypes.py_object(kind)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), exception)
