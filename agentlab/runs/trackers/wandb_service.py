"""Weights & Biases: a run of it for each run. Needs the extra `wandb`."""

from __future__ import annotations

import html
from typing import Any, Literal

import attrs

from agentlab.configuration import task_settings
from agentlab.fields import outside
from agentlab.runs.trackers.services import check_installed, pictures, result_numbers
from agentlab.tracker import Histogram, Media, Metrics, TrackedRun, Tracker, grouped


@attrs.define(slots=False, eq=False)
class WandB(Tracker):
    """Follows a run in Weights & Biases: settings, metrics in groups, pictures, texts and the result.

    A run that is resumed goes on in the same run of the service. Its own metrics of steps that it has already are dropped, as
    the service does.

    Attributes:
        project: of the service.
        entity: a user or a team; by default the user's own.
        group: that the run belongs to, such as the name of a sweep.
        mode: "online", "offline" to send it later by `wandb sync`, or "disabled".
        directory: for the service's own files; by default `wandb` in the current directory, or that of WANDB_DIR.
    """

    project: str = "agentlab"
    entity: str | None = outside(None)
    group: str | None = None
    mode: Literal["online", "offline", "disabled"] = "online"
    directory: str | None = outside(None)

    def __attrs_post_init__(self) -> None:
        check_installed("wandb", "wandb")

    def begin(self, run: TrackedRun) -> None:
        import wandb

        # The same run of the service, if this one is resumed.
        config = {**task_settings(run.config), "seed": run.config.get("seed"), "directory": str(run.directory)}
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group,
            name=f"{run.config['task']['name']} {run.config.get('seed')}",
            id=run.state.get("id"),
            resume="allow" if run.state else None,
            mode=self.mode,
            dir=self.directory,
            config=config,
            reinit="create_new",  # other runs of this process are left alone
            settings=wandb.Settings(console="off"),
        )

    def line(self, metrics: Metrics) -> None:
        self._log(grouped(metrics), metrics["step"])

    def media(self, name: str, content: Media, step: int) -> None:
        import wandb

        entry: Any
        if isinstance(content, str):
            entry = wandb.Html(f"<pre>{html.escape(content)}</pre>", inject=False)
        elif isinstance(content, Histogram):
            entry = wandb.Histogram(np_histogram=(content.counts, content.edges))
        else:
            entry = [wandb.Image(picture) for picture in pictures(content)]
        self._log({f"media/{name}": entry}, step)

    def _log(self, values: dict[str, Any], step: int) -> None:
        if step >= (self._run.step or 0):
            self._run.log(values, step=step)

    def state(self) -> dict[str, Any]:
        return {"id": self._run.id}

    def end(self, result: dict[str, Any] | None) -> None:
        if result is not None:
            self._run.summary.update(result_numbers(result))
        self._run.finish(exit_code=0 if result is not None else 255)  # 255 stands for a run that was stopped
