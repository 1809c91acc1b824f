"""Reporter: what a run reports, the line of metrics at each report and the result at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentlab import errors
from agentlab.loop.statistics import COLUMNS, EVALUATION
from agentlab.runs.assembly import Assembly
from agentlab.runs.files.run_directory import Best, Result
from agentlab.runs.session.saving import Saving
from agentlab.schedules import current_values
from agentlab.system.processes.clock import Clock
from agentlab.task import Task
from agentlab.tracker import Histogram, Metrics


class Reporter:
    """Collects metrics and results.

    Args:
        task: that is run.
        assembly: of the run.
        clock: measures its phases.
    """

    def __init__(self, task: Task, assembly: Assembly, clock: Clock) -> None:
        self._task, self._assembly = task, assembly
        self._clock = clock
        self.begin(0)

    def begin(self, step: int) -> None:
        """Notes that the run continues from `step`, from which the speed of the next report is measured."""
        self._step, self._seconds = step, self._clock["train"]

    def line(self, step: int, evaluation: dict[str, Any]) -> Metrics:
        """Returns the metrics since the last report, and starts those of the next one.

        Args:
            step: that was reached.
            evaluation: at this step; empty if there was none.
        """
        learner = self._assembly.agent.learner
        rate = (step - self._step) / max(self._clock["train"] - self._seconds, 1e-9)
        self.begin(step)

        # Means of episodes and updates, then what the evaluation measured, then times.
        line: Metrics = {"step": step, "update": int(learner.updates.numpy())}
        line |= {**self._rates(), **self._assembly.gear.report(), **learner.means.collect()}
        line |= {f"{EVALUATION}{name}": value for name, value in evaluation.items() if isinstance(value, (int, float))}
        return {**line, "steps_per_second": rate, "seconds": self._clock.total()}

    def check(self, names: Iterable[str]) -> None:
        """Raises UsageError for a name that is neither a column of the lines of metrics nor a number of the result."""
        columns, figures = self._columns(), self._figures()
        for name in names:
            if name not in (*columns, *figures):
                is_figure = "." in name
                listed = "Numbers in result.json" if is_figure else "Columns of metrics.jsonl"
                raise errors.UsageError(errors.unknown("metric", name, figures if is_figure else columns, listed))

    def _columns(self) -> list[str]:
        """Returns the names of the numbers in lines of metrics."""
        evaluation = self._assembly.evaluator.figures if self._task.evaluation.period else ()
        own = {*COLUMNS, *self._rates(), *self._assembly.agent.trainer.metric_names}  # some stand in for others
        return [*sorted(own), *(f"{EVALUATION}{name}" for name in evaluation)]

    def _figures(self) -> list[str]:
        """Returns the names of the numbers in the result."""
        tables: dict[str, Iterable[str]] = {
            "evaluation": self._assembly.evaluator.figures,
            "seconds": self._clock.as_data(),
        }
        if self._task.evaluation.period:
            tables["best"] = Best.__annotations__
        return ["steps", "updates", *(f"{table}.{name}" for table, names in tables.items() for name in names)]

    def histograms(self) -> dict[str, Histogram]:
        """Returns histograms of the weights of each network by name, if the task asks for them."""
        if not self._task.histograms:
            return {}
        weights = {
            f"weights/{name}/{number}/{weight.path}": weight.numpy()
            for name, models in self._assembly.agent.parts.models.items()
            for number, model in enumerate(models)
            for weight in model.trainable_variables
        }
        return {name: Histogram.of(values) for name, values in weights.items()}

    def _rates(self) -> dict[str, float]:
        """Returns the learning rate of the network that acts, and the sampler's schedules, such as epsilon, as they are now.

        A trainer's metric of such a name takes its place.
        """
        agent = self._assembly.agent
        rate = agent.trainer.acting.updater.optimizer.learning_rate
        return {"learning_rate": float(rate), **current_values(agent.learner.policy.sampler, int(agent.learner.steps.numpy()))}

    def result(self, seed: int, saving: Saving, evaluation: dict[str, Any]) -> Result:
        """Returns the content of result.json; `saving` knows the best evaluation and whether the run is exact."""
        learner = self._assembly.agent.learner
        result: Result = {
            "task": self._task.name,
            "seed": seed,
            "gear": self._assembly.gear.name,
            "execution": self._assembly.agent.execution,
            "steps": int(learner.steps.numpy()),
            "updates": int(learner.updates.numpy()),
            "exact": saving.is_exact,
            "evaluation": evaluation,
            "seconds": self._clock.as_data(),
        }
        if saving.best:
            result["best"] = saving.best
        return result
