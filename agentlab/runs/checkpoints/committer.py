"""Committer: writes a run's checkpoints on a thread of its own, while training continues."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from agentlab import errors
from agentlab.runs.checkpoints import snapshot
from agentlab.runs.checkpoints.store import Groups
from agentlab.runs.files.run_directory import RunDirectory
from agentlab.system.files import UnreadableError
from agentlab.system.processes import threads


class Committer:
    """Commits a run's checkpoints one after the other, and removes old ones.

    A disk takes its time without needing the processor, so what was taken of a run is written on a thread, of which there is
    one at most. What goes wrong there is raised by the next call here, once.

    Args:
        directory: of the run; open until `wait` has returned.
        num_kept: the newest checkpoints that stay.
        newest: the step of the newest there is; -1 for none.
        sync: puts on disk what a checkpoint counts on, such as the metrics of which its manifest counts the bytes; called on
            the thread, before the checkpoint is committed.

    Attributes:
        committed: the step of the newest that is on disk; -1 for none.
        handed_over: the step of the newest that was handed over; -1 for none.
    """

    def __init__(
        self, directory: RunDirectory, num_kept: int, newest: int = -1, sync: Callable[[], None] = lambda: None
    ) -> None:
        self.committed = self.handed_over = newest
        self._directory = directory
        self._num_kept = num_kept
        self._sync = sync
        self._untold: list[int] = []
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def go_on_from(self, step: int) -> None:
        """Notes that a checkpoint of `step` is on disk already, from which the run continues."""
        self.committed = self.handed_over = step

    def begin(self, step: int, groups: Groups, facts: dict[str, Any]) -> None:
        """Begins to commit what nobody changes any more, as soon as what was begun before is committed.

        Args:
            step: at which it was taken.
            groups: of `snapshot.take`.
            facts: of the manifest, with `metrics_bytes` and `best`.

        Raises:
            WriteFault: the one before can't be written.
        """
        self.wait()
        self.handed_over = step
        thread = threading.Thread(target=self._attempt, args=(step, groups, facts), name="checkpoint")
        if threads.start(thread):
            self._thread = thread
        else:
            self._attempt(step, groups, facts)

    def check(self) -> None:
        """Looks, without waiting, whether something went wrong.

        Raises:
            WriteFault: a checkpoint can't be written, or an old one not removed.
        """
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Returns when all that was begun is committed.

        Raises:
            WriteFault: a checkpoint can't be written, or an old one not removed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def take_committed(self) -> list[int]:
        """Returns the steps of the checkpoints that have come to be on disk since the last call."""
        count = len(self._untold)
        steps, self._untold = self._untold[:count], self._untold[count:]
        return steps

    def describe(self) -> str:
        """Returns a sentence about what can be resumed from, after waiting until that is certain."""
        try:
            self.wait()
        except errors.WriteFault as error:
            return str(error)
        newest = self.newest()
        if newest < 0:
            return "No checkpoint had been written yet."
        return f"The newest checkpoint is of step {newest:,}: '{self._directory.resuming}' resumes from it."

    def newest(self) -> int:
        """Returns the step of the newest checkpoint, of this process or before it; -1 for none."""
        if self.committed >= 0:
            return self.committed
        try:
            return max(self._directory.checkpoints.steps(), default=-1)
        except (OSError, UnreadableError):
            return -1

    def _attempt(self, step: int, groups: Groups, facts: dict[str, Any]) -> None:
        try:
            self._commit(step, groups, facts)
        except BaseException as error:  # raised later, in the thread that trains
            self._error = error

    def _commit(self, step: int, groups: Groups, facts: dict[str, Any]) -> None:
        checkpoints = self._directory.checkpoints
        self._sync()
        checkpoints.save(step, snapshot.without_unused_rows(groups), facts)
        self.committed = step
        self._untold.append(step)
        newest = [known for known in checkpoints.steps() if known <= step][-self._num_kept :]
        checkpoints.prune([*newest, *([facts["best"]["step"]] if facts["best"] else [])])
