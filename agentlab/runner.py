"""One run: builds the parts a task names, trains within the budget, evaluates, and leaves the run's files."""

from __future__ import annotations

import json
import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import attrs
import keras
import numpy as np

from agentlab import checkpoint, errors
from agentlab import task as tasks
from agentlab.agent import Agent
from agentlab.composition import (
    build_agent,
    build_evaluator,
    build_training_environment,
    choose_gear,
    find_task,
    on_host,
)
from agentlab.environment import DeviceEnvironment
from agentlab.gears import DeviceGear, Gear, HostGear
from agentlab.metrics import NonFinite
from agentlab.report import Progress, RunDirectory, process_start
from agentlab.spec import EnvironmentSpec
from agentlab.task import Task


class Interrupted(errors.AgentlabError):
    """The run was asked to stop; what it had learned is in its checkpoint."""

    exit_code = 130


@attrs.frozen
class Run:
    """A finished run.

    Attributes:
        task: as it was run, changes included.
        seed: of all its randomness.
        directory: holds its files.
        agent: trained.
        result: the content of result.json.
    """

    task: Task
    seed: int
    directory: pathlib.Path
    agent: Agent
    result: dict[str, Any]

    @property
    def model(self) -> keras.Model:
        """The trained model."""
        return self.agent.model


def run(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Runs a task to the end of its budget and evaluates it.

    Args:
        task: its name, or a task of your own.
        seed: determines all randomness.
        changes: to the task, as nested tables: `{"steps": 10_000, "trainer": {"discount": 0.98}}`.
        model: a Keras model of your own instead of the task's.
        run_dir: for the run's files; by default the first free of `runs/TASK/SEED-1`, `SEED-2`, ...
        quiet: show no progress.
        stop: asked at every chunk; the run ends with a checkpoint when it answers True.

    Raises:
        UsageError: the task, a part, a setting or the directory is wrong.
        EnvironmentFault: an environment failed; a checkpoint was written.
        TrainingFault: learning became non-finite.
        Interrupted: `stop` answered True; a checkpoint was written.
    """
    found = tasks.changed(find_task(task) if isinstance(task, str) else task, changes or {})
    return _Session(found, seed, model, run_dir, quiet, stop).run()


def load(run_dir: str | os.PathLike[str]) -> Agent:
    """Returns the trained agent of a run, from config.json and its newest checkpoint; nothing of the run's files is executed.

    Raises:
        UsageError: the directory holds no run or no readable checkpoint.
    """
    return load_run(run_dir)[2]


def load_run(run_dir: str | os.PathLike[str]) -> tuple[Task, int, Agent]:
    """Returns a run's task, seed and trained agent.

    Raises:
        UsageError: the directory holds no run or no readable checkpoint.
    """
    directory = pathlib.Path(run_dir)
    if not (directory / "config.json").is_file():
        raise errors.UsageError(
            f"{str(directory)!r} is not a run: it holds no config.json. Name a directory such as runs/TASK/0-1."
        )
    task = Task.from_data(tasks.read_config(str(directory / "config.json")))
    config = json.loads((directory / "config.json").read_text("utf-8"))
    newest = checkpoint.newest(directory / "checkpoints")
    seed = int(config["seed"])
    agent = build_agent(task, seed, EnvironmentSpec.from_data(config["spec"]))  # the environment itself may be out of reach
    checkpoint.restore(newest, _saved(agent))
    return task, seed, agent


def _saved(agent: Agent) -> dict[str, Any]:
    """Returns the variables a checkpoint holds: all but what the memory keeps."""
    return {name: variable for name, variable in agent.variables().items() if not name.startswith("memory/")}


class _Session:
    """The state of one call of `run`."""

    def __init__(
        self,
        task: Task,
        seed: int,
        model: keras.Model | None,
        run_dir: str | os.PathLike[str] | None,
        quiet: bool,
        stop: Callable[[], bool],
    ) -> None:
        self._start = time.time()
        self._process_start = process_start()
        self._task = task
        self._seed = seed
        self._stop = stop
        self._seconds = dict.fromkeys(("import", "build", "compile", "train", "evaluate"), 0.0)
        self._seconds["import"] = self._start - self._process_start
        environment = build_training_environment(task)
        gear = choose_gear(task, environment)
        self._agent = build_agent(task, seed, environment.spec, model, gear)
        self._gear: Gear
        if isinstance(environment, DeviceEnvironment) and gear == "device":
            self._gear = DeviceGear(self._agent, environment, seed)
        else:
            self._gear = HostGear(self._agent, on_host(environment, task.num_environments), seed)
        self._evaluator = build_evaluator(task, seed, self._agent)
        self._directory = RunDirectory(run_dir, task, seed)
        self._directory.write_config(task, seed, environment.spec)
        self._progress = Progress(task.steps, quiet)
        self._last_good: dict[str, np.ndarray] | None = None  # as of the last report, at which everything was finite
        self._seconds["build"] = time.time() - self._start

    def run(self) -> Run:
        try:
            self._timed("compile", self._gear.start)
            self._train()
            self._save()
            evaluation = self._timed("evaluate", self._evaluator.run)
        except errors.TrainingFault:
            self._save_last_good()
            raise
        except BaseException:  # whatever it was, what has been learned is kept
            self._save()
            raise
        finally:
            self._progress.close()
            self._directory.close()
            self._gear.close()
            self._evaluator.close()
        result = self._result(evaluation)
        self._directory.write_result(result)
        return Run(self._task, self._seed, self._directory.path, self._agent, result)

    def _train(self) -> None:
        task, rows = self._task, self._task.num_environments
        step, total = 0, math.ceil(task.steps / rows) * rows
        while step < total:
            begin = time.time()
            turns = self._turns_from(step, total)
            statistics = self._timed("train", self._gear.run, turns)
            step += turns * rows
            rate = turns * rows / max(time.time() - begin, 1e-9)
            found = self._evaluate() if _due(step, rows, task.evaluation.period) else {}
            self._report(step, rate, statistics, found)
            if self._is_solved(found):
                return
            if self._stop() and step < total:
                raise Interrupted(
                    f"Interrupted at step {step:,} of {total:,}; a checkpoint is in {self._directory.checkpoints}."
                )

    def _turns_from(self, step: int, total: int) -> int:
        """Returns the turns to the next report, evaluation or the end, whichever comes first."""
        periods = (self._task.report_period, self._task.evaluation.period)
        ends = [total, *((step // period + 1) * period for period in periods if period)]
        return max(1, math.ceil((min(ends) - step) / self._task.num_environments))

    def _evaluate(self) -> dict[str, Any]:
        """Judges the agent during training, over other episodes than at the end."""
        return self._timed("evaluate", self._evaluator.run, "evaluation during training")

    def _is_solved(self, found: dict[str, Any]) -> bool:
        goal = self._task.evaluation.stop_return
        return bool(found) and goal is not None and found["return_mean"] >= goal

    def _report(self, step: int, rate: float, statistics: dict[str, Any], found: dict[str, Any]) -> None:
        means = self._means(step)
        line = {"step": step, "update": int(self._agent.learner.updates.numpy()), **statistics, **means}
        line.update({f"evaluation_{name}": value for name, value in found.items() if isinstance(value, (int, float))})
        line.update(steps_per_second=rate, seconds=time.time() - self._process_start)
        self._directory.write_metrics(line)
        self._progress.chunk(line)
        self._last_good = {name: variable.numpy() for name, variable in _saved(self._agent).items()}

    def _means(self, step: int) -> dict[str, float]:
        """Returns the training metrics since the last report.

        Raises:
            TrainingFault: one was not finite.
        """
        means = self._agent.learner.means
        before = int(self._agent.learner.updates.numpy()) - means.count()
        try:
            return means.collect()
        except NonFinite as error:
            raise errors.TrainingFault(
                f"Learning became non-finite by step {step:,}: {error.name} is {error.value} "
                f"at update {before + error.update:,}. Try a smaller trainer.learning_rate or set trainer.max_gradient_norm."
            ) from error

    def _save(self) -> None:
        """Saves the present state, or the one of the last report if a weight is no longer finite."""
        arrays = {name: variable.numpy() for name, variable in _saved(self._agent).items()}
        if all(np.isfinite(array).all() for name, array in arrays.items() if name.startswith("model/")):
            self._last_good = arrays
        self._save_last_good()

    def _save_last_good(self) -> None:
        if self._last_good is not None:
            checkpoint.save(self._directory.checkpoints, int(self._last_good["steps"]), self._last_good)

    def _timed(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.time()
        try:
            return function(*arguments)
        finally:
            self._seconds[name] += time.time() - begin

    def _result(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        seconds = {**self._seconds, "total": time.time() - self._process_start}
        return {
            "task": self._task.name,
            "seed": self._seed,
            "gear": self._gear.name,
            "execution": self._agent.execution,
            "steps": int(self._agent.exploration.steps.numpy()),
            "updates": int(self._agent.learner.updates.numpy()),
            "evaluation": evaluation,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }


def _due(step: int, rows: int, period: int) -> bool:
    return bool(period) and step // period > (step - rows) // period
