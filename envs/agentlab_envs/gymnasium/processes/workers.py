"""Gymnasium environments each in a worker: called with a time limit, reported when they fail or die, never left behind."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterable
from multiprocessing.util import Finalize
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from agentlab import errors
from agentlab.foreign import guard
from agentlab.system.processes.patience import Patience
from agentlab.types import Nest
from agentlab_envs.gymnasium import leaves as leaves
from agentlab_envs.gymnasium.processes.backend import Answer, Backend, Link
from agentlab_envs.gymnasium.processes.servant import FAULT, MISSING
from agentlab_envs.gymnasium.rows import Row
from agentlab_envs.gymnasium.wrapping import Wrapping, maker

MAKE_SECONDS = 60.0  # that making the environments may take, beyond what the first one took times their number
FAILED_CLOSE_SECONDS = 0.5  # the same once a worker has failed, which should be reported soon
NO_WRAPPERS = Wrapping()
END_SECONDS = 1.0  # that all workers may take to end once their environments are closed


class Hung(errors.EnvironmentFault):
    """A worker has not answered in time."""


class Workers(VectorEnv):
    """Gymnasium's `AsyncVectorEnv` of `Row`s, for environments that hang, exit or die, on any backend.

    A worker answers each request by its result or a clause that says what went wrong. It outlives neither `close` nor this
    process, however that ends.

    Args:
        backend: that starts the workers.
        id: Gymnasium's.
        count: of workers.
        mode: how they are reset.
        arguments: for `gymnasium.make`.
        seconds: that an answer may take.
        mask: of the allowed actions, see `masks.mask_space`.
        wrapping: to be put around each environment.

    Attributes:
        links: to the workers.
    """

    def __init__(
        self,
        backend: Backend,
        id: str,
        count: int,
        mode: AutoresetMode,
        arguments: dict[str, Any],
        seconds: float,
        mask: str = "none",
        wrapping: Wrapping = NO_WRAPPERS,
    ) -> None:
        # The state of the vector; answers carry the number of their request.
        self.num_envs, self._mode, self._seconds, self._mask = count, mode, seconds, mask
        self.links: list[Link] = []
        self._number = 0  # of the request under way; late answers have another
        self._failed = False
        self._ended = np.zeros(count, np.bool_)
        self._end = Finalize(self, _kill, (self.links,), exitpriority=0)  # before Python itself would wait for them

        # One environment of this process tells the spaces, and how long the others may take to be made.
        began = time.monotonic()
        self._describe(maker(lambda: gymnasium.make(id, **arguments), wrapping)())
        if not all(map(leaves.are_known, (self.single_observation_space, self.single_action_space))):
            return  # they are refused elsewhere; not all can be shared
        one = time.monotonic() - began + backend.start_seconds
        try:
            self._start(backend, maker(self._maker(arguments), wrapping), MAKE_SECONDS + count * one)
        except BaseException:
            self._end()
            raise

    def _describe(self, env: gymnasium.Env) -> None:
        """Reads from one environment, which is closed again, what all have in common."""
        self.metadata = {**env.metadata, "autoreset_mode": self._mode}
        self.render_mode, self.spec = env.render_mode, env.spec
        row = Row(env, self._mask)
        self.texts = row.texts
        self.single_observation_space, self.single_action_space = row.observation_space, row.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        guard.close(env.spec.id if env.spec is not None else str(env), env.close, guard.BRIEF_SECONDS)

    def _maker(self, arguments: dict[str, Any]) -> Callable[[], gymnasium.Env]:
        """Returns a function that makes an environment, even in a process in which its id is not registered."""
        registered = gymnasium.registry[self.spec.id]  # type: ignore[union-attr]
        return lambda: gymnasium.make(copy.deepcopy(registered), **arguments)

    def _start(self, backend: Backend, make: Callable[[], gymnasium.Env], seconds: float) -> None:
        self._board = backend.open(self.single_observation_space, self.single_action_space, self.num_envs)
        for row in range(self.num_envs):
            self.links.append(backend.start(make, row, self._mode is AutoresetMode.SAME_STEP, self._mask))

        # All rows must agree with the spaces of this process.
        ours_are, rows = (self.single_observation_space, self.single_action_space), range(self.num_envs)
        self._send(rows, [("make", None)] * self.num_envs)
        for row, spaces in enumerate(self._answers(rows, seconds)):
            if spaces != ours_are:
                raise errors.EnvironmentFault(f"row {row} has the spaces {spaces}, another one {ours_are}.")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Returns observations that the next call overwrites; rows that a `reset_mask` leaves out stay where they are."""
        options = dict(options or {})
        mask = options.pop("reset_mask", np.ones(self.num_envs, np.bool_))
        rows = np.flatnonzero(mask).tolist()
        answers = self._ask(rows, [("reset", (None if seed is None else seed + row, options or None)) for row in rows])
        self._show(rows, answers)
        self._ended[rows] = False
        return self._board.observations, {}

    def step(self, actions: Nest) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns observations that the next call overwrites, rewards, terminated, truncated, and `final_obs` by row."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Nest) -> None:
        """Begins a step, which `step_wait` ends."""
        requests: list[tuple[str, Any]] = [("step", actions[row]) for row in range(self.num_envs)]
        if self._mode is AutoresetMode.NEXT_STEP:  # rows whose episode has ended are reset instead
            requests = [("reset", (None, None)) if self._ended[row] else request for row, request in enumerate(requests)]
        self._send(range(self.num_envs), requests)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Waits for the end of a step, and returns the same as `step`."""
        board, rows = self._board, range(self.num_envs)
        self._show(rows, self._in_time(rows))

        # Rewards and ends [B], copied: they are of this step.
        rewards, terminated, truncated = board.reward.copy(), board.terminated.copy(), board.truncated.copy()
        self._ended = terminated | truncated
        finals = {row: board.final(row) for row in np.flatnonzero(board.has_begun).tolist()}
        return board.observations, rewards, terminated, truncated, {"final_obs": finals} if finals else {}

    def _show(self, rows: Iterable[int], outcomes: list[Any]) -> None:
        """Writes on the board what came of the rows' steps, unless their workers have done so."""
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome is not None:
                self._board.put(row, outcome)

    def render(self) -> tuple[Any, ...]:
        """Returns the picture of row 0."""
        return tuple(self._ask([0], [("render", None)]))

    def set_attr(self, name: str, values: object) -> None:
        """Sets an attribute of every `Row`: to one of `values` each, if they are a list."""
        values = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        self._ask(range(self.num_envs), [("set", (name, value)) for value in values])

    def close(self, *, seconds: float = guard.CLOSE_SECONDS, **_: object) -> None:
        """Closes the environments and ends the workers, by force where one doesn't answer within so many seconds.

        Raises:
            EnvironmentFault: an environment didn't close.
        """
        if self.closed:
            return
        self.closed = True

        # Ask all rows first, so that they close side by side.
        rows = range(len(self.links))
        try:
            self._send(rows, [("close", None)] * len(rows))
            if self._failed:  # that one doesn't answer is known
                self._collect(rows, FAILED_CLOSE_SECONDS)
            else:
                self._answers(rows, seconds)
                self._join()
        finally:
            self._end()
            for link in self.links:
                link.close()

    def __del__(self) -> None:
        """Leaves the workers to the finalizer, which doesn't ask them."""

    def _join(self) -> None:
        patience = Patience(END_SECONDS)
        for link in self.links:
            link.join(patience.next_wait())

    def _ask(self, rows: Iterable[int], requests: list[tuple[str, Any]]) -> list[Any]:
        self._send(rows, requests)
        return self._in_time(rows)

    def _in_time(self, rows: Iterable[int]) -> list[Any]:
        """Returns the results of the request under way; a worker that takes too long is told of with the setting to change."""
        try:
            return self._answers(rows, self._seconds)
        except Hung as fault:
            raise Hung(f"{fault} If that is how long it takes, set environment.timeout.") from None

    def _send(self, rows: Iterable[int], requests: list[tuple[str, Any]]) -> None:
        self._number += 1
        for row, request in zip(rows, requests, strict=True):
            with contextlib.suppress(OSError):  # it died, which waiting for its answer tells
                self.links[row].send(self._number, *request)

    def _answers(self, rows: Iterable[int], seconds: float) -> list[Any]:
        """Returns the results of the request under way.

        Raises:
            EnvironmentFault: a worker didn't answer, or by a fault.
            DependencyNotInstalled: a package is missing.
        """
        answers = self._collect(rows, seconds)
        for _, kind, result in answers:
            if kind == FAULT:
                raise errors.EnvironmentFault(result)
            if kind == MISSING:
                raise gymnasium.error.DependencyNotInstalled(result)
        return [result for _, _, result in answers]

    def _collect(self, rows: Iterable[int], seconds: float) -> list[Answer]:
        """Returns the answers to the request under way, of those rows that answer."""
        # Who answered, who didn't in time, and whose process has died.
        patience, answers, silent, dead = Patience(seconds), [], [], []
        for row in rows:
            try:
                answer = self._answer(row, patience)
            except (EOFError, OSError):
                dead.append(row)
                continue
            answers.append(answer) if answer is not None else silent.append(row)
        if (dead or silent) and not self._failed:
            self._failed = True
            if dead:
                raise errors.EnvironmentFault(self._died(dead))
            raise Hung(f"{_named(silent)} not answered for {seconds:g} seconds.")
        return answers

    def _answer(self, row: int, patience: Patience) -> Answer | None:
        """Returns a row's answer to the request under way; None if it takes too long."""
        while True:
            wait = patience.next_wait()
            answer = self.links[row].receive(wait)
            if answer is not None and answer[0] == self._number:
                return answer
            if answer is None and not wait:
                return None

    def _died(self, rows: list[int]) -> str:
        deaths = dict.fromkeys(self.links[row].death() for row in rows)
        return f"{_named(rows)} died, {' and '.join(deaths)}."


def _named(rows: list[int]) -> str:
    several = len(rows) > 1
    return f"the worker process{'es' if several else ''} of row {', '.join(map(str, rows))} ha{'ve' if several else 's'}"


def _kill(links: list[Link]) -> None:
    for link in links:
        link.kill()
    for link in links:
        link.join(END_SECONDS)
