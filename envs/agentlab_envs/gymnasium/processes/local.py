"""Workers as processes of this machine, called through pipes; the board is memory that all share."""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import select
import signal
import struct
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium
from gymnasium.vector.utils import CloudpickleWrapper

from agentlab_envs.gymnasium.processes.backend import Answer, Backend, Link
from agentlab_envs.gymnasium.processes.board import Board
from agentlab_envs.gymnasium.processes.parent import end_with_parent, start
from agentlab_envs.gymnasium.processes.servant import FAULT, FINE, Servant, uncrossable

END_SECONDS = 1.0  # that a process may take to end once its pipe is closed

# A step and its answer are the number of the request alone, all else being on the board; anything else comes after a `CALL`.
NUMBER = struct.Struct("<q")
CALL = NUMBER.pack(-1)


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

    def open(self, observation: gymnasium.Space, action: gymnasium.Space, count: int) -> Board:
        memory = self._context.RawArray("B", Board.num_bytes(observation, action, count))
        self._arguments = observation, action, count, memory
        self._board = Board(*self._arguments)
        return self._board

    def start(self, make: Callable[[], gymnasium.Env], row: int, same_step: bool, mask: str) -> Link:
        ours, theirs = self._context.Pipe()
        arguments = (CloudpickleWrapper(make), row, same_step, mask, theirs, ours, self._arguments)
        process = self._context.Process(target=work, args=arguments, name=f"environment {row}", daemon=True)
        start(process)
        theirs.close()
        return LocalLink(process, ours, functools.partial(self._board.put_action, row))


class LocalLink(Link):
    """The pipe to a process.

    Args:
        process: that was started.
        pipe: this process's end.
        put_action: writes on the board what the process is to do.
    """

    def __init__(self, process: BaseProcess, pipe: Connection, put_action: Callable[[Any], None]) -> None:
        self.process, self._pipe, self._put_action = process, pipe, put_action
        self._signals = signals_of(pipe)

    def send(self, number: int, command: str, data: Any) -> None:
        if command == "step":
            self._put_action(data)
            self._signals.send(NUMBER.pack(number))
            return
        self._signals.send(CALL)
        self._pipe.send((number, command, data))

    def receive(self, seconds: float) -> Answer | None:
        if not self._signals.wait(seconds):
            return None
        message = self._signals.receive()
        return self._pipe.recv() if message == CALL else (NUMBER.unpack(message)[0], FINE, None)

    def death(self) -> str:
        self.process.join(END_SECONDS)
        return f"with exit code {self.process.exitcode}"

    def join(self, seconds: float) -> None:
        self.process.join(seconds)

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self._pipe.close()


class Signals:
    """Messages of as many bytes as a `NUMBER` has, through one end of a pipe, whose other messages they may come between.

    Python's connections make a new selector at each `poll`, and read and write each message in two parts: that takes longer
    than the step of a small environment.

    Args:
        pipe: this process's end.
    """

    def __init__(self, pipe: Connection) -> None:
        self._file = pipe.fileno()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def send(self, message: bytes) -> None:
        """Sends a message."""
        os.write(self._file, message)

    def receive(self) -> bytes:
        """Waits for a message and returns it."""
        message = b""
        while len(message) < NUMBER.size:
            part = os.read(self._file, NUMBER.size - len(message))
            if not part:
                raise EOFError
            message += part
        return message

    def wait(self, seconds: float) -> bool:
        """Waits for a message for so many seconds at most, and returns whether there is one."""
        return bool(self._poll.poll(1_000 * seconds))


class PortableSignals:
    """The same where pipes are not files, as on Windows.

    Args:
        pipe: this process's end.
    """

    def __init__(self, pipe: Connection) -> None:
        self.send, self.receive, self.wait = pipe.send_bytes, pipe.recv_bytes, pipe.poll


def signals_of(pipe: Connection) -> Signals | PortableSignals:
    """Returns the signals of one end of a pipe."""
    return Signals(pipe) if hasattr(select, "poll") else PortableSignals(pipe)


def work(
    make: CloudpickleWrapper, row: int, same_step: bool, mask: str, pipe: Connection, parents_end: Connection,
    arguments: tuple[gymnasium.Space, gymnasium.Space, int, Any],
) -> None:  # fmt: skip
    """Answers requests until it has answered "close"; `arguments` are those of the board.

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
    board = Board(*arguments)
    servant = Servant(make.fn, row, same_step, mask, functools.partial(board.put, row))
    with contextlib.suppress(EOFError, OSError):  # the parent is through with this process
        _answer_all(servant, row, pipe, board)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)  # whatever threads the environment has left


def _answer_all(servant: Servant, row: int, pipe: Connection, board: Board) -> None:
    command, signals = "", signals_of(pipe)
    while command != "close":
        message = signals.receive()
        if message == CALL:
            number, command, data = pipe.recv()
            answer = servant.answer(number, command, data)
        else:
            answer = servant.answer(NUMBER.unpack(message)[0], "step", board.action(row))
            if answer[1] == FINE:
                signals.send(message)
                continue
        signals.send(CALL)
        _send(answer, row, pipe)


def _send(answer: Answer, row: int, pipe: Connection) -> None:
    try:
        pipe.send(answer)
    except OSError:
        raise
    except Exception as error:  # what can't be pickled
        pipe.send((answer[0], FAULT, uncrossable(row, error)))
