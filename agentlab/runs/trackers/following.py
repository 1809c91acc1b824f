"""Which trackers follow a run: its own, those that its task names, and those that a program passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from agentlab import errors
from agentlab.loop.agent import Agent
from agentlab.runs.composition import build_part
from agentlab.runs.files.run_directory import EVENTS, MEDIA, METRICS, RunDirectory
from agentlab.runs.trackers.endless import EndlessEpisodes
from agentlab.runs.trackers.event_file import TensorBoard
from agentlab.runs.trackers.guard import GuardedTracker
from agentlab.runs.trackers.media_files import MediaFiles
from agentlab.runs.trackers.metrics_file import MetricsFile
from agentlab.runs.trackers.progress import Progress
from agentlab.runs.trackers.report_function import ReportFunction
from agentlab.runs.trackers.several import Trackers
from agentlab.task import Task
from agentlab.tracker import Metrics, Tracker


@attrs.frozen(eq=False)
class Following:
    """What follows a run besides its own files.

    Attributes:
        progress: what a person sees.
        others: by name, guarded.
        on_report: of the program that runs the task, or None.
    """

    progress: Progress
    others: dict[str, GuardedTracker]
    on_report: Callable[[Metrics], object] | None = None

    def in_directory(self, directory: RunDirectory, agent: Agent) -> tuple[Trackers, MetricsFile]:
        """Returns all trackers of an agent's run in a directory, and which of them writes metrics.jsonl."""
        metrics, endless = MetricsFile(directory), EndlessEpisodes(agent.spec, agent.num_environments)
        own: dict[str, Tracker] = {METRICS: metrics, EVENTS: TensorBoard(directory), "progress": self.progress}
        own |= {MEDIA: MediaFiles(directory), "endless": endless}
        last = {} if self.on_report is None else {"on_report": ReportFunction(self.on_report)}
        return Trackers({**own, **self.others, **last}), metrics


def build_following(
    task: Task, trackers: Iterable[Tracker], quiet: bool, on_report: Callable[[Metrics], object] | None = None
) -> Following:
    """Returns what will follow a run of a task; nothing is written yet.

    Args:
        task: whose own trackers are built.
        trackers: objects of a program.
        quiet: show no progress.
        on_report: called with the metrics of each report.

    Raises:
        UsageError: an object is not a tracker, or a setting of one is wrong.
    """
    named: dict[str, Tracker] = {}
    for name, part in task.trackers.items():
        named[_free_name(name, named)] = build_part("tracker", part, f"trackers.{name}")

    # A program's own have the names of their classes.
    for tracker in trackers:
        if not isinstance(tracker, Tracker):
            raise errors.UsageError(
                f"The tracker {errors.quoted(tracker)} is not a tracker; expected objects of classes derived from "
                "agentlab.tracker.Tracker. One that is installed is named in the task: changes={'trackers': {NAME: {}}}."
            )
        named[_free_name(type(tracker).__name__, named)] = tracker
    return Following(Progress(quiet), {name: GuardedTracker(name, tracker) for name, tracker in named.items()}, on_report)


def _free_name(name: str, taken: dict[str, Any]) -> str:
    """Returns a name for one more tracker: its own, with a number where that is taken."""
    number = 1
    while (numbered := name if number == 1 else f"{name} {number}") in {
        *taken,
        METRICS,
        EVENTS,
        "progress",
        "endless",
        "on_report",
    }:
        number += 1
    return numbered
