"""A vector's worker processes: asked with a time limit, told of when they die, never left behind."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv

CLOSE_SECONDS = 5.0  # that worker processes get to finish what they are doing
ORPHAN_SECONDS = 1.0  # between a worker's looks at whether its parent still lives


def step(vector: AsyncVectorEnv, action: np.ndarray, seconds: float) -> Any:
    """Returns what `vector.step(action)` does, or raises TimeoutError after `seconds`."""
    vector.step_async(action)
    return vector.step_wait(timeout=seconds)


def reset(vector: AsyncVectorEnv, seconds: float, **arguments: Any) -> Any:
    """Returns what `vector.reset` does, or raises TimeoutError after `seconds`."""
    vector.reset_async(**arguments)
    return vector.reset_wait(timeout=seconds)


def complaint(vector: AsyncVectorEnv, error: Exception, seconds: float) -> str | None:
    """Returns what is wrong with the workers if `error` comes from one's death or silence; else None."""
    if isinstance(error, multiprocessing.TimeoutError):
        silent = [row for row, pipe in enumerate(vector.parent_pipes) if not pipe.poll(0)]
        return f"{_rows(silent)} not answered for {seconds:g} seconds. If that is how long it takes, set environment.timeout."
    if isinstance(error, (EOFError, ConnectionError)):
        for process in vector.processes:
            process.join(0.1)
        dead = [(row, process.exitcode) for row, process in enumerate(vector.processes) if not process.is_alive()]
        return f"{_rows([row for row, _ in dead])} died, with exit code {', '.join(str(code) for _, code in dead)}."
    return None


def close(vector: AsyncVectorEnv) -> None:
    """Ends all workers, by force if they don't end by themselves."""
    try:
        vector.close(timeout=CLOSE_SECONDS)
    except (Exception, KeyboardInterrupt):  # one died or hangs, or Ctrl-C reached it too: there is nobody left to ask
        for process in vector.processes:
            process.kill()
            process.join()
        vector.closed = True


def end_with_parent() -> None:
    """Ends this worker process when its parent is gone, however that ended; in the parent itself, does nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None and _WATCH.acquire(blocking=False):
        threading.Thread(target=_watch, args=(parent.pid,), name="parent watch", daemon=True).start()


_WATCH = threading.Lock()  # one watch is enough


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _rows(rows: list[int]) -> str:
    several = len(rows) > 1
    return f"the worker process{'es' if several else ''} of row {', '.join(map(str, rows))} ha{'ve' if several else 's'}"
