"""The Engine contract: makes runs elsewhere, a few at a time, until all have ended."""

from __future__ import annotations

import abc
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

import attrs

POLL_SECONDS = 0.05
HANG_SECONDS = 3_600.0  # a run gives a sign of life about twice a second, but for the minutes in which it compiles
USAGE_ERROR = 2  # the exit code of a run that can't begin
MOST_ATTEMPTS = 3  # at a job whose process is killed, such as when a machine is taken away


@attrs.frozen
class Job:
    """A run to be made.

    Attributes:
        name: for messages, such as "seed 3".
        command: words of the command. Given again, it resumes what it has begun.
    """

    name: str
    command: tuple[str, ...]


@attrs.frozen
class Outcome:
    """The end of a job.

    Attributes:
        job: that ended.
        code: its exit code; minus the number of the signal that ended it.
        last_line: that it printed.
        seconds: that it took.
    """

    job: Job
    code: int
    last_line: str
    seconds: float


class Running(abc.ABC):
    """A job that was started."""

    job: Job

    @abc.abstractmethod
    def outcome(self) -> Outcome | None:
        """Returns how the job ended; None while it runs."""

    @abc.abstractmethod
    def end(self) -> None:
        """Asks the job to end with a checkpoint."""

    @abc.abstractmethod
    def kill(self) -> None:
        """Ends the job at once, and waits until it is gone."""


class Engine(abc.ABC):
    """Makes jobs.

    Args:
        size: how many are started at a time; None for all.
        hang_timeout: seconds without a sign of life after which a job is ended, and not tried again.
    """

    def __init__(self, size: int | None, hang_timeout: float = HANG_SECONDS) -> None:
        self._size, self._hang_timeout = size, hang_timeout
        self._waiting: deque[Job] = deque()
        self._running: list[Running] = []

    @abc.abstractmethod
    def start(self, job: Job) -> Running:
        """Starts a job."""

    def close(self) -> None:  # noqa: B027 - an engine that holds nothing has nothing to close
        """Lets go of what the engine holds. By default does nothing."""

    def run(self, jobs: Iterable[Job], ended: Callable[[Outcome], object], look: Callable[[], bool]) -> None:
        """Runs all jobs. One whose process is killed is started again, a few times.

        Args:
            jobs: in the order in which they begin.
            ended: called with the outcome of each job as it ends.
            look: called some times a second; once it returns True, no job begins any more, and those that run are asked to end.
        """
        self._waiting, self._running = deque(jobs), []
        attempts, is_stopped = Counter[str](), False
        try:
            while self._running or (self._waiting and not is_stopped):
                # As many as there is room for.
                while self._waiting and not is_stopped and len(self._running) != self._size:
                    self._running.append(self.start(self._waiting.popleft()))

                # Those that have ended make room.
                for outcome in self._ended():
                    attempts[outcome.job.name] += 1
                    if outcome.code < 0 and not is_stopped and attempts[outcome.job.name] < MOST_ATTEMPTS:
                        self._waiting.appendleft(outcome.job)
                    else:
                        ended(outcome)

                # Asked to stop, those that run end with checkpoints, which is waited for.
                if look() and not is_stopped:
                    is_stopped = True
                    for entry in self._running:
                        entry.end()
                time.sleep(POLL_SECONDS)
        finally:
            for entry in self._running:
                entry.kill()
            self._running = []

    def stop(self, name: str) -> None:
        """Asks the job of this name to end with a checkpoint; one that has not begun never does. For `look`."""
        self._waiting = deque(job for job in self._waiting if job.name != name)
        for entry in self._running:
            if entry.job.name == name:
                entry.end()

    def _ended(self) -> list[Outcome]:
        """Returns the outcomes of the jobs that have ended, and drops these."""
        outcomes = [(entry, entry.outcome()) for entry in self._running]
        self._running = [entry for entry, outcome in outcomes if outcome is None]
        return [outcome for _, outcome in outcomes if outcome is not None]
