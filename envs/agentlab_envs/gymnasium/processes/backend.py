"""The Backend contract: where the workers of a vector of environments run, and how they are reached."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import gymnasium

from agentlab_envs.gymnasium.processes.board import Board

Answer = tuple[int, str, Any]  # the number of the request, the kind of answer, and the result


class Link(abc.ABC):
    """The way to one worker. What is sent to a worker that is gone raises OSError; what is expected of it, also EOFError."""

    @abc.abstractmethod
    def send(self, number: int, command: str, data: Any) -> None:
        """Sends a request, see `Servant.answer`; the board is free for what the last one led to."""

    @abc.abstractmethod
    def receive(self, seconds: float) -> Answer | None:
        """Returns the answer to the oldest request that has none yet; None if there is none after so many seconds."""

    @abc.abstractmethod
    def death(self) -> str:
        """Returns how a worker that is gone has ended, as the end of a sentence."""

    @abc.abstractmethod
    def join(self, seconds: float) -> None:
        """Waits for the end of a worker that was asked to close, for so many seconds at most."""

    @abc.abstractmethod
    def kill(self) -> None:
        """Ends the worker at once."""

    def close(self) -> None:  # noqa: B027 - a link that holds nothing has nothing to close
        """Lets go of what the link holds. By default does nothing."""


class Backend(abc.ABC):
    """Starts workers.

    Attributes:
        start_seconds: that starting each worker may take, besides making its environment.
    """

    start_seconds = 0.0

    @abc.abstractmethod
    def open(self, observation: gymnasium.Space, action: gymnasium.Space, count: int) -> Board:
        """Returns the board of a vector, where workers write what comes of their steps, or `Workers` does for them.

        Args:
            observation: space of one observation.
            action: that of one action.
            count: of workers.
        """

    @abc.abstractmethod
    def start(self, make: Callable[[], gymnasium.Env], row: int, same_step: bool, mask: str) -> Link:
        """Starts a worker; arguments are those of `Servant`."""
