"""Workers as processes of this machine, called through pipes; observations are in memory that all share."""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium
from gymnasium.vector.utils import (
    CloudpickleWrapper,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from agentlab.types import Nest
from agentlab_envs.gymnasium.processes.backend import Answer, Backend, Link
from agentlab_envs.gymnasium.processes.parent import end_with_parent, start
from agentlab_envs.gymnasium.processes.servant import FAULT, Servant, uncrossable

END_SECONDS = 1.0  # that a process may take to end once its pipe is closed


class LocalProcesses(Backend):
    """Starts processes.

    Raises:
        UnsupportedMode: this process may start none.
    """

    def __init__(self) -> None:
        if multiprocessing.current_process().daemon:
            raise gymnasium.error.UnsupportedMode(
                "this process is daemonic, as those of multiprocessing.Pool are, and may start none of its own; use "
                "vectorization 'sync', or concurrent.futures.ProcessPoolExecutor"
            )
        self._context: Any = multiprocessing.get_context()

    def open(self, space: gymnasium.Space, count: int) -> Nest:
        self._space, self._memory = space, create_shared_memory(space, count, self._context)
        return read_from_shared_memory(space, self._memory, count)

    def start(self, make: Callable[[], gymnasium.Env], row: int, same_step: bool, mask: str) -> Link:
        ours, theirs = self._context.Pipe()
        arguments = (CloudpickleWrapper(make), row, same_step, mask, theirs, ours, self._space, self._memory)
        process = self._context.Process(target=work, args=arguments, name=f"environment {row}", daemon=True)
        start(process)
        theirs.close()
        return LocalLink(process, ours)


class LocalLink(Link):
    """The pipe to a process.

    Args:
        process: that was started.
        pipe: this process's end.
    """

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process, self._pipe = process, pipe

    def send(self, number: int, command: str, data: Any) -> None:
        self._pipe.send((number, command, data))

    def receive(self, seconds: float) -> Answer | None:
        return self._pipe.recv() if self._pipe.poll(seconds) else None

    def death(self) -> str:
        self.process.join(END_SECONDS)
        return f"with exit code {self.process.exitcode}"

    def join(self, seconds: float) -> None:
        self.process.join(seconds)

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self._pipe.close()


def work(
    make: CloudpickleWrapper, row: int, same_step: bool, mask: str, pipe: Connection, parents_end: Connection,
    space: gymnasium.Space, memory: Any,
) -> None:  # fmt: skip
    """Answers requests `(number, command, data)` until it has answered "close".

    Signals that a terminal or a service sends to all processes of a program are the parent's to act on.
    """
    # What a fork has copied of the parent is never collected here: TensorFlow's objects would call threads that aren't there.
    gc.freeze()

    # Signals and the pipe's other end belong to the parent.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: None)
    end_with_parent()
    parents_end.close()
    show = functools.partial(write_to_shared_memory, space, row, shared_memory=memory)
    with contextlib.suppress(EOFError, OSError):  # the parent is through with this process
        _answer_all(Servant(make.fn, row, same_step, mask, show), row, pipe)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)  # whatever threads the environment has left


def _answer_all(servant: Servant, row: int, pipe: Connection) -> None:
    command = ""
    while command != "close":
        number, command, data = pipe.recv()
        answer = servant.answer(number, command, data)
        try:
            pipe.send(answer)
        except OSError:
            raise
        except Exception as error:  # what can't be pickled
            pipe.send((number, FAULT, uncrossable(row, error)))
