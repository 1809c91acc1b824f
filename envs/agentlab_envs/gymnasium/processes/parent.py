"""Ends a worker process with its parent, however the parent ended and whatever the worker is doing."""

from __future__ import annotations

import concurrent.futures
import ctypes
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from agentlab.system.processes import threads

PR_SET_PDEATHSIG = 1  # of Linux's prctl
ORPHAN_SECONDS = 1.0  # between a worker's looks at whether its parent still lives, where the system doesn't see to it

Job = tuple[Callable[[], None], concurrent.futures.Future]


def start(process: BaseProcess) -> None:
    """Starts a worker process from a thread that lasts: Linux takes the end of the starting thread for the parent's."""
    jobs = None if threading.current_thread() is threading.main_thread() else _STARTER.jobs()
    if jobs is None:
        process.start()
        return
    done: concurrent.futures.Future = concurrent.futures.Future()
    jobs.put((process.start, done))
    done.result()


def end_with_parent() -> None:
    """Ends this worker process when its parent is gone.

    Linux kills it then, even while it holds the interpreter's lock in a long computation; elsewhere a thread looks.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), name="parent watch", daemon=True).start()
    creator = multiprocessing.parent_process()
    if os.getppid() != parent or (creator is not None and not creator.is_alive()):  # it ended before
        os._exit(1)


class _Starter:
    """A thread that starts processes for threads that may end before them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def jobs(self) -> queue.SimpleQueue[Job] | None:
        """Returns where the thread takes its jobs from; None where no thread can be started any more."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # also in a child process, where it isn't
                self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
                self._thread = threading.Thread(target=_work, args=(self._jobs,), name="process starter", daemon=True)
                if not threads.start(self._thread):
                    return None
            return self._jobs


def _work(jobs: queue.SimpleQueue[Job]) -> None:
    while True:
        job, done = jobs.get()
        try:
            done.set_result(job())
        except BaseException as error:
            done.set_exception(error)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


_STARTER = _Starter()
