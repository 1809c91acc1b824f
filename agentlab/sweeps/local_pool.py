"""The local engine: runs as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping

from agentlab.sweeps.engine import Engine, Job, Outcome, Running
from agentlab.system.processes.patience import Patience
from agentlab.system.processes.supervision import SUPERVISED

OUTPUT_BYTES = 4_096  # of the end of what a run printed, in which an error is looked for
HUNG = 124  # the code of a job that was ended because it hung, as of the program `timeout`


class LocalPool(Engine):
    """Runs jobs as processes.

    A run hears of the end of this process, however that ends, since this process holds its standard input; it then stops with a
    checkpoint.
    """

    def start(self, job: Job) -> Running:
        return LocalProcess(job, self._hang_timeout)


class LocalProcess(Running):
    """A job as a process, in a session of its own: Ctrl-C is for this process, which asks the job to end.

    Args:
        job: to be run.
        hang_timeout: seconds without a sign of life after which it is ended.
        variables: of its environment, besides those of this process.
        directory: in which it runs; None for that of this process.
    """

    def __init__(
        self, job: Job, hang_timeout: float, variables: Mapping[str, str] | None = None, directory: str | None = None
    ) -> None:
        self.job = job
        self._hang_timeout, self._sign = hang_timeout, 0
        self._begin, self._is_ending = time.monotonic(), False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the outcome
        environment = {**os.environ, **(variables or {}), SUPERVISED: "1"}
        self._process = subprocess.Popen(
            job.command, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True, cwd=directory,
        )  # fmt: skip

    def outcome(self) -> Outcome | None:
        code = self._process.poll()
        if code is None and not self._hangs():
            return None
        if code is None:
            self.kill()
            sentence = f"It gave no sign of life for {self._hang_timeout:g} seconds, and was ended."
            return Outcome(self.job, HUNG, sentence, time.monotonic() - self._begin)

        # Of what it printed, the last line says what went wrong.
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - OUTPUT_BYTES))
        lines = self._output.read().decode("utf-8", "replace").strip().splitlines()
        self._close()

        # SIGTERM kills a process that has not come to its first line yet; that was asked for.
        if self._is_ending and code == -signal.SIGTERM:
            code = 128 + signal.SIGTERM
        return Outcome(self.job, code, lines[-1].strip() if lines else "", time.monotonic() - self._begin)

    def _hangs(self) -> bool:
        """Whether its output has not changed for too long; `supervision.give_sign_of_life` changes it too."""
        sign = os.fstat(self._output.fileno()).st_mtime_ns
        if sign != self._sign:
            self._sign, self._patience = sign, Patience(self._hang_timeout)
        return not self._patience.next_wait()

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
