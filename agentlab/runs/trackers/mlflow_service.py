"""MLflow: a run of it for each run. Needs the extra `mlflow`."""

from __future__ import annotations

import contextlib
import re
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from agentlab.configuration import task_settings
from agentlab.fields import outside
from agentlab.runs.trackers.services import check_installed, pictures, result_numbers
from agentlab.tracker import Histogram, Media, Metrics, TrackedRun, Tracker, grouped

if TYPE_CHECKING:
    from mlflow import MlflowClient

AXIS = "time/seconds"  # a metric of every line, which says how far the service's record goes
PARAMETERS = 100  # that a call takes
LONGEST = 500  # characters of a parameter
UNUSUAL = re.compile(r"[^\w.-]")  # characters in the names of files


@attrs.define(slots=False, eq=False)
class MLflow(Tracker):
    """Follows a run in MLflow: settings as parameters, metrics in groups, pictures, texts and the result.

    A run that is resumed goes on in the same run of MLflow; lines that MLflow has already are left out.

    Attributes:
        tracking_uri: of the server or the database, such as "sqlite:///mlflow.db"; by default that of MLFLOW_TRACKING_URI.
        experiment: that the run belongs to.
        artifacts: place for the pictures and texts of a new experiment; by default the server's.
    """

    tracking_uri: str | None = outside(None)
    experiment: str = "agentlab"
    artifacts: str | None = outside(None)

    def __attrs_post_init__(self) -> None:
        check_installed("mlflow", "mlflow")

    def begin(self, run: TrackedRun) -> None:
        with _quiet():
            from mlflow import MlflowClient

            self._client = MlflowClient(self.tracking_uri)

            # A run that is resumed: lines up to that of the newest point are there already.
            self._last_step = -1
            if identity := run.state.get("run"):
                self._run = identity
                self._client.update_run(self._run, status="RUNNING")
                self._last_step = max((point.step for point in self._client.get_metric_history(self._run, AXIS)), default=-1)
            else:
                self._run = self._new_run(self._client, run)

    def _new_run(self, client: MlflowClient, run: TrackedRun) -> str:
        """Begins a run with its parameters; returns its id."""
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        name = f"{run.config['task']['name']} {run.config.get('seed')}"
        with contextlib.suppress(MlflowException):  # another run has made the experiment, maybe at this moment
            client.create_experiment(self.experiment, artifact_location=self.artifacts)
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            raise ValueError(f"there is no experiment {self.experiment!r}, and none can be made")
        identity: str = client.create_run(
            experiment.experiment_id, run_name=name, tags={"directory": str(run.directory)}
        ).info.run_id

        # So many parameters at a time.
        settings = {**task_settings(run.config), "seed": run.config.get("seed")}
        parameters = [Param(setting, str(value)[:LONGEST]) for setting, value in settings.items()]
        for first in range(0, len(parameters), PARAMETERS):
            client.log_batch(identity, params=parameters[first : first + PARAMETERS])
        return identity

    def line(self, metrics: Metrics) -> None:
        if metrics["step"] > self._last_step:
            self._log(grouped(metrics), metrics["step"])

    def change(self, metrics: Metrics) -> None:
        if metrics["step"] > self._last_step:
            self._log(
                {name: value for name, value in grouped(metrics).items() if name.startswith("settings/")}, metrics["step"]
            )

    def _log(self, numbers: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1_000)
        with _quiet():
            self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in numbers.items()])

    def media(self, name: str, content: Media, step: int) -> None:
        if isinstance(content, Histogram):  # MLflow has none
            return
        file = f"{UNUSUAL.sub('_', name)}-{step}"
        with _quiet():
            if isinstance(content, str):
                self._client.log_text(self._run, content, f"{file}.txt")
                return
            for number, picture in enumerate(pictures(content)):
                self._client.log_image(self._run, picture, artifact_file=f"{file}-{number}.png")

    def state(self) -> dict[str, Any]:
        return {"run": self._run}

    def end(self, result: dict[str, Any] | None) -> None:
        if result is not None:
            self._log(result_numbers(result), max(self._last_step, int(result.get("steps", 0))))
        with _quiet():
            self._client.set_terminated(self._run, "FINISHED" if result is not None else "KILLED")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what MLflow's own libraries warn of, which a user can't change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
