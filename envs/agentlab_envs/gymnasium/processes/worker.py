"""The worker process: one environment, called through a pipe."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper, write_to_shared_memory

from agentlab import errors
from agentlab.system import tracebacks
from agentlab.types import Nest
from agentlab_envs.gymnasium.processes.parent import end_with_parent
from agentlab_envs.gymnasium.rows import Row

MADE = 0  # the number of the answer that nobody asked for
FINE, FAULT, MISSING = "fine", "fault", "missing"  # kinds of answers: a result, what went wrong, the package that is missing


def work(
    make: CloudpickleWrapper, row: int, pipe: Connection, parents_end: Connection, memory: Any, same_step: bool, mask: str
) -> None:
    """Answers requests `(number, command, data)` by `(number, kind, result)` until it has answered "close".

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
    with contextlib.suppress(EOFError, OSError):  # the parent is through with this process
        _answer_all(lambda: Servant(make.fn(), row, memory, same_step, mask), row, pipe)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)  # whatever threads the environment has left


def _answer_all(make: Callable[[], Servant], row: int, pipe: Connection) -> None:
    made: list[Servant] = []

    def serve() -> Any:
        made.append(make())
        return made[0].spaces()

    # The first answer, the spaces, is sent unasked; then one answer for each request, in order.
    _send(pipe, row, MADE, *_tried(row, serve))
    command = "" if made else "close"
    while command != "close":
        number, command, data = pipe.recv()
        _send(pipe, row, number, *_tried(row, lambda: made[0].answer(command, data)))  # noqa: B023 - called at once


def _tried(row: int, function: Callable[[], Any]) -> tuple[str, Any]:
    """Returns the kind of answer and the result."""
    try:
        return FINE, function()
    except gymnasium.error.DependencyNotInstalled as error:
        return MISSING, str(error)
    except errors.EnvironmentFault as fault:
        return FAULT, str(fault)
    except BaseException as error:
        return FAULT, f"row {row} raised {tracebacks.describe_error(error)}"


def _send(pipe: Connection, row: int, number: int, kind: str, result: object) -> None:
    try:
        pipe.send((number, kind, result))
    except OSError:
        raise
    except Exception as error:  # what can't be pickled
        pipe.send((number, FAULT, f"row {row} returned what can't cross between processes: {tracebacks.describe_error(error)}"))


class Servant:
    """An environment and the shared memory of its observations.

    Args:
        env: to be asked.
        row: its place in the vector.
        memory: for observations, shared with the parent.
        same_step: whether an episode's end and the next one's beginning are one step.
        mask: of the allowed actions, see `masks.mask_space`.
    """

    def __init__(self, env: gymnasium.Env, row: int, memory: Any, same_step: bool, mask: str) -> None:
        self._env = Row(env, mask)
        self._env.row = row
        self._row, self._memory, self._same_step = row, memory, same_step
        self._space = self._env.observation_space

    def spaces(self) -> Any:
        """Returns the spaces of observations and actions."""
        return self._space, self._env.action_space

    def answer(self, command: str, data: Any) -> Any:
        """Returns the environment's answer to "reset", "step", "render", "set" or "close"."""
        if command == "step":
            return self._step(data)
        if command == "reset":
            seed, options = data
            return self._show(self._env.reset(seed=seed, options=options)[0])
        if command == "set":
            return setattr(self._env, *data)
        return self._env.render() if command == "render" else self._env.close()

    def _step(self, action: Nest) -> tuple[Any, Any, Any, Any]:
        """Returns reward, terminated, truncated, and where the next episode has begun, what the last one ended with."""
        observation, reward, terminated, truncated, _ = self._env.step(action)
        final = None
        if self._same_step and (terminated or truncated):
            final, (observation, _) = observation, self._env.reset()
        self._show(observation)
        return reward, terminated, truncated, final

    def _show(self, observation: np.ndarray) -> None:
        write_to_shared_memory(self._space, self._row, observation, self._memory)
