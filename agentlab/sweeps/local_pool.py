"""The local engine: runs as processes of this machine, a few at a time."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO

import attrs

from agentlab.system.processes.standard_input import ENDS_WITH_STDIN

POLL_SECONDS = 0.05
OUTPUT_BYTES = 4_096  # of the end of what a run printed, in which an error is looked for


@attrs.frozen
class Job:
    """A run to be made.

    Attributes:
        name: for messages, such as "seed 3".
        command: words of the command.
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


@attrs.frozen
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    begin: float

    def outcome(self, code: int) -> Outcome:
        self.output.seek(max(0, self.output.seek(0, os.SEEK_END) - OUTPUT_BYTES))
        lines = self.output.read().decode("utf-8", "replace").strip().splitlines()
        self.close()
        return Outcome(self.job, code, lines[-1].strip() if lines else "", time.monotonic() - self.begin)

    def close(self) -> None:
        """Lets go of the process's input and output."""
        self.output.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class LocalPool:
    """Runs jobs as processes, at most `size` at a time.

    A run hears of the end of this process, however that ends, since this process holds its standard input; it then stops with a
    checkpoint.

    Args:
        size: how many at a time.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def run(self, jobs: Iterable[Job], ended: Callable[[Outcome], object], look: Callable[[], bool]) -> None:
        """Runs all jobs.

        Args:
            jobs: in the order in which they begin.
            ended: called with the outcome of each job as it ends.
            look: called some times a second; once it returns True, no job begins any more, and those that run are asked to end.
        """
        waiting, running, stopped = deque(jobs), list[_Running](), False
        try:
            while running or (waiting and not stopped):
                # As many as there are places for.
                while waiting and not stopped and len(running) < self._size:
                    running.append(_start(waiting.popleft()))

                # Those that have ended make room.
                for entry in running.copy():
                    code = entry.process.poll()
                    if code is not None:
                        running.remove(entry)
                        ended(entry.outcome(code))
                if look() and not stopped:
                    stopped = True
                    for entry in running:
                        entry.process.terminate()
                time.sleep(POLL_SECONDS)
        finally:
            for entry in running:
                entry.process.kill()
                entry.process.wait()
                entry.close()


def _start(job: Job) -> _Running:
    """Starts a job in a session of its own: Ctrl-C is for this process, which asks the jobs to end."""
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the outcome
    environment = {**os.environ, ENDS_WITH_STDIN: "1"}
    process = subprocess.Popen(
        job.command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    return _Running(job, process, output, time.monotonic())
