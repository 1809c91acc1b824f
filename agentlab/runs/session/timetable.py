"""What is due when in a run, in environment steps; and how far to train before checking again whether to stop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator

import attrs

from agentlab.task import Task

SLICE_SECONDS = 0.5  # after which the loop checks whether to stop
FIRST_SLICE = 16  # turns, before it is known how long one takes


@attrs.frozen
class Timetable:
    """The periods of a task.

    Args:
        task: that is run.
    """

    task: Task

    @property
    def total(self) -> int:
        """The budget."""
        return self.task.total_steps

    @property
    def checkpoint_period(self) -> int:
        """Steps from one checkpoint to the next; 0 for one at the end only."""
        period = self.task.checkpoint_period
        return math.ceil(self.total / 10) if period is None else period

    def next_end(self, step: int) -> int:
        """Returns the next step after `step` at which something is due, in whole turns of all environments."""
        rows = self.task.num_environments
        evaluation = self.task.evaluation
        periods = (self.task.report_period, evaluation.period, evaluation.media_period, self.checkpoint_period)
        ends = [self.total, *((step // period + 1) * period for period in periods if period)]
        return math.ceil(min(ends) / rows) * rows

    def turns_until(self, step: int, end: int) -> int:
        """Returns the turns of all environments from `step` to `end`."""
        return math.ceil((end - step) / self.task.num_environments)

    def is_end(self, step: int) -> bool:
        """Whether the budget is used up."""
        return step >= self.total

    def is_evaluation_due(self, step: int) -> bool:
        """Whether the agent is to be evaluated during training."""
        return self._is_due(self.task.evaluation.period, step)

    def is_checkpoint_due(self, step: int) -> bool:
        """Whether a checkpoint is to be taken."""
        return self.is_end(step) or self._is_due(self.checkpoint_period, step)

    def are_media_due(self, step: int) -> bool:
        """Whether media of an evaluation are to be made, which the end comes with too."""
        period = self.task.evaluation.media_period
        return bool(period) and (self.is_end(step) or self._is_due(period, step))

    def is_report_due(self, step: int) -> bool:
        """Whether a line of metrics is to be reported; every evaluation comes with one."""
        return self.is_end(step) or self.is_evaluation_due(step) or self._is_due(self.task.report_period, step)

    def _is_due(self, period: int, step: int) -> bool:
        return bool(period) and step // period > (step - self.task.num_environments) // period


class Slices:
    """Divides training into calls of about half a second; how many there are changes no number."""

    def __init__(self) -> None:
        self._turns = FIRST_SLICE

    @contextlib.contextmanager
    def timed(self, most: int) -> Iterator[int]:
        """Yields the turns to take now, at most `most`, and measures how long they take."""
        turns, begin = min(self._turns, most), time.monotonic()
        yield turns
        if turns == self._turns:
            pace = SLICE_SECONDS / max(time.monotonic() - begin, 1e-9)
            self._turns = max(1, int(turns * min(max(pace, 0.25), 4.0)))


def rate_limited(stop: Callable[[], bool]) -> Callable[[], bool]:
    """Returns a function that calls `stop` at most once per slice."""
    asked = time.monotonic()

    def answer() -> bool:
        nonlocal asked
        if time.monotonic() - asked < SLICE_SECONDS:
            return False
        asked = time.monotonic()
        return stop()

    return answer
