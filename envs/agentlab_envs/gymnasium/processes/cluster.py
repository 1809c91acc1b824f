"""Workers as actors of a Ray cluster, on whatever nodes; what comes of a step comes with the answers."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium

from agentlab import errors
from agentlab.system.processes import ray_connection
from agentlab_envs.gymnasium.processes.backend import Answer, Backend, Link
from agentlab_envs.gymnasium.processes.board import Board
from agentlab_envs.gymnasium.processes.servant import FAULT, Servant, uncrossable

if TYPE_CHECKING:
    from ray import ObjectRef


class RayActors(Backend):
    """Starts actors on the nodes of the cluster in turn.

    They count as no CPUs, as processes of this machine do: a run that has its own CPUs waits while its environments step.

    Raises:
        UsageError: Ray is not installed, or the cluster can't be reached.
    """

    start_seconds = 10.0  # Ray starts a new process for each

    def __init__(self) -> None:
        self._ray = ray_connection.connected()[0]
        self._actor = self._ray.remote(num_cpus=0, scheduling_strategy="SPREAD", max_restarts=0)(RemoteServant)

    def open(self, observation: gymnasium.Space, action: gymnasium.Space, count: int) -> Board:
        return Board(observation, action, count)

    def start(self, make: Callable[[], gymnasium.Env], row: int, same_step: bool, mask: str) -> Link:
        return RayLink(self._ray, self._actor.remote(make, row, same_step, mask, os.getcwd()), row)  # noqa: PTH109


class RayLink(Link):
    """The handle of an actor.

    Args:
        ray: the module.
        actor: a `RemoteServant`.
        row: its place in the vector.
    """

    def __init__(self, ray: Any, actor: Any, row: int) -> None:
        self._ray, self._actor, self._row = ray, actor, row
        self._requests: deque[tuple[int, ObjectRef[Answer]]] = deque()
        self._death = "before it has said why"

    def send(self, number: int, command: str, data: Any) -> None:
        self._requests.append((number, self._actor.answer.remote(number, command, data)))

    def receive(self, seconds: float) -> Answer | None:
        number, reference = self._requests[0]
        if not self._ray.wait([reference], timeout=seconds)[0]:
            return None
        self._requests.popleft()
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # the environment's own errors are answers
            return number, FAULT, uncrossable(self._row, error.cause or error)
        except self._ray.exceptions.RayError as error:
            self._death = f"as Ray reports: {errors.first_line(error).rstrip('.')}"
            raise EOFError(self._death) from error

    def death(self) -> str:
        return self._death

    def join(self, seconds: float) -> None:
        """Does nothing: an actor doesn't end by itself."""

    def kill(self) -> None:
        if self._ray.is_initialized():  # its actors end with a program's connection
            self._ray.kill(self._actor)


class RemoteServant:
    """A `Servant` on a node of the cluster.

    Args:
        make: returns the environment.
        row: its place in the vector.
        same_step: as of `Servant`.
        mask: as of `Servant`.
        directory: in which the program runs, which this node shares.
    """

    def __init__(self, make: Callable[[], gymnasium.Env], row: int, same_step: bool, mask: str, directory: str) -> None:
        if os.path.isdir(directory):  # noqa: PTH112
            os.chdir(directory)
        self._servant = Servant(make, row, same_step, mask, lambda outcome: outcome)

    def answer(self, number: int, command: str, data: Any) -> Answer:
        """Returns the answer to a request; arrays that come through Ray can't be written to, which environments may do."""
        return self._servant.answer(number, command, copy.deepcopy(data))
