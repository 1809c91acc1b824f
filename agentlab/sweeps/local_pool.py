"""The local engine: runs as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping

from agentlab.sweeps.engine import Engine, Job, Outcome, Running
from agentlab.system.processes.standard_input import ENDS_WITH_STDIN

OUTPUT_BYTES = 4_096  # of the end of what a run printed, in which an error is looked for


class LocalPool(Engine):
    """Runs jobs as processes.

    A run hears of the end of this process, however that ends, since this process holds its standard input; it then stops with a
    checkpoint.
    """

    def start(self, job: Job) -> Running:
        return LocalProcess(job)


class LocalProcess(Running):
    """A job as a process, in a session of its own: Ctrl-C is for this process, which asks the job to end.

    Args:
        job: to be run.
        variables: of its environment, besides those of this process.
        directory: in which it runs; None for that of this process.
    """

    def __init__(self, job: Job, variables: Mapping[str, str] | None = None, directory: str | None = None) -> None:
        self.job = job
        self._begin, self._is_ending = time.monotonic(), False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the outcome
        environment = {**os.environ, **(variables or {}), ENDS_WITH_STDIN: "1"}
        self._process = subprocess.Popen(
            job.command, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True, cwd=directory,
        )  # fmt: skip

    def outcome(self) -> Outcome | None:
        code = self._process.poll()
        if code is None:
            return None

        # Of what it printed, the last line says what went wrong.
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - OUTPUT_BYTES))
        lines = self._output.read().decode("utf-8", "replace").strip().splitlines()
        self._close()

        # SIGTERM kills a process that has not come to its first line yet; that was asked for.
        if self._is_ending and code == -signal.SIGTERM:
            code = 128 + signal.SIGTERM
        return Outcome(self.job, code, lines[-1].strip() if lines else "", time.monotonic() - self._begin)

    def end(self) -> None:
        self._is_ending = True
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._output.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
