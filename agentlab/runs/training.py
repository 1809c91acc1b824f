"""Training: an iterator over a run's lines of metrics."""

from __future__ import annotations

import inspect
import pathlib
import types
import weakref
from collections.abc import Callable, Iterator

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.runs import notebook
from agentlab.runs.files.run_directory import RunDirectory
from agentlab.runs.run import Run
from agentlab.runs.session.session import Session
from agentlab.runs.trackers.following import Following
from agentlab.tracker import Media, Metrics


class Training(Iterator[Metrics]):
    """Trains while it is iterated over, and yields the line of metrics of each report: step, update, return_mean, loss, ...

    After the last one the agent is evaluated and result.json written. A loop that is left early, by `break`, leaves neither:
    `finish` ends the run there, evaluated; `close`, or the end of a `with` block, leaves a checkpoint from which
    `agentlab.resume` continues it.

    Attributes:
        agent: under training; it may act between two lines.
        directory: of the run's files.
    """

    def __init__(self, session: Session, directory: RunDirectory, following: Following, start: Callable[[], None]) -> None:
        self.agent: Agent = session.agent
        self.directory: pathlib.Path = directory.path
        self._session, self._opened = session, directory
        self._lines = session.lines(directory, *following.in_directory(directory, session.agent), start)
        weakref.finalize(self, self._lines.close)  # also before the interpreter ends, when no thread can be started any more
        self._begun = False
        self._run: Run | None = None

    def __repr__(self) -> str:
        state = "finished" if self._run is not None else "under way" if self._begun else "not begun"
        return f"<Training in {self.directory}, {state}: {self.agent!r}>"

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: the same line, and the learning curve so far."""
        return notebook.page_of(repr(self), self.directory, self.agent.trainer.headline)

    @property
    def run(self) -> Run:
        """The finished run.

        Raises:
            UsageError: it isn't finished.
        """
        if self._run is None:
            raise errors.UsageError("The training isn't finished; take its lines to the last one before asking for the run.")
        return self._run

    def __iter__(self) -> Training:
        return self

    def __next__(self) -> Metrics:
        self._begun = True
        try:
            return next(self._lines)
        except StopIteration as ended:
            if ended.value is not None:
                self._run = ended.value
            raise

    def finish(self) -> Run:
        """Ends the training before its budget is used up, evaluates the agent, writes result.json and returns the run.

        Raises:
            UsageError: nothing has been trained yet, or the training was closed.
        """
        if self._run is None and (not self._begun or inspect.getgeneratorstate(self._lines) == inspect.GEN_CLOSED):
            raise errors.UsageError(
                "The training can't be finished here: it has not begun, or was closed. Take a line of metrics before, or "
                f"'{self._opened.resuming}' resumes it from its checkpoint."
            )
        self._session.finish()
        for _ in self:
            pass  # there are no more lines but one that is due by now
        return self.run

    def run_to_end(self) -> Run:
        """Trains to the end of the budget, ignoring the lines, and returns the run."""
        with self:
            for _ in self:
                pass
        return self.run

    def change(self, name: str, value: float) -> None:
        """Changes a live setting, such as "trainer.learning_rate", from the next step on; it replaces a schedule too.

        The change is a line in metrics.jsonl, and checkpoints hold it. Other settings are compiled into the loop.

        Raises:
            UsageError: the setting is not live, or this is none of its values.
        """
        self._session.change(name, value)

    def media(self, name: str, content: Media) -> None:
        """Hands a text, or frames `[T, height, width, 3]` uint8, to the trackers, with the step of the last report.

        Raises:
            UsageError: nothing has been trained yet, or the training was closed.
        """
        if not self._begun or inspect.getgeneratorstate(self._lines) == inspect.GEN_CLOSED:
            raise errors.UsageError("There are no trackers to hand this to: the training has not begun, or was closed.")
        self._session.media(name, content)

    def close(self) -> None:
        """Ends the training; what has been learned is in a checkpoint."""
        self._lines.close()
        if not self._begun:
            self._begun = True
            self._session.close()
            self._opened.discard()

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        self.close()
