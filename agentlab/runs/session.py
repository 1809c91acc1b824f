"""Session: trains a run from its first or last committed step to its end."""

from __future__ import annotations

import contextlib
import math
import pathlib
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import attrs
import keras

from agentlab import errors
from agentlab.environment import DeviceEnvironment
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.gear import Gear
from agentlab.loop.host.gear import HostGear
from agentlab.model import ModelBuilder
from agentlab.runs import resuming, snapshot
from agentlab.runs.background_saving import Committer
from agentlab.runs.checkpoints import Checkpoint
from agentlab.runs.composition import (
    build_agent,
    build_evaluator,
    build_training_environment,
    choose_gear,
    close_environment,
    on_host,
    with_packages,
)
from agentlab.runs.finite_checks import check_learning
from agentlab.runs.init_from import InitialWeights
from agentlab.runs.progress import Progress
from agentlab.runs.run_directory import Best, Result, RunDirectory
from agentlab.spec import leaves_of
from agentlab.system import free_memory, machine
from agentlab.system.processes.clock import Clock
from agentlab.task import Task

SLICE_SECONDS = 0.5  # after which the loop looks whether it is to stop
FIRST_SLICE = 16  # turns, before it is known how long one takes


@attrs.frozen
class Run:
    """A finished run.

    Attributes:
        task: as it was run, changes included.
        seed: of all its randomness.
        directory: holds its files.
        agent: trained.
        result: the content of result.json.
        finished_before: whether it had been finished already, so that nothing was trained, evaluated or written now.
    """

    task: Task
    seed: int
    directory: pathlib.Path
    agent: Agent
    result: Result
    finished_before: bool = False

    @property
    def model(self) -> keras.Model:
        """The trained model."""
        return self.agent.model


class Session:
    """Builds a run's parts, takes the loop through its budget, reports, evaluates and commits checkpoints.

    A checkpoint is taken before any work due at its step, such as a report; resuming does that work first. So a
    run that was continued, even to a larger budget, leaves the same files as one that never ended.

    Args:
        task: what to run.
        seed: determines all randomness.
        model: a Keras model of the user's own instead of the task's.
        quiet: show no progress.
        stop: asked about twice a second; the run ends with a checkpoint when it answers True.
        weights: that the run begins with; None for those that its models draw.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        model: keras.Model | ModelBuilder | None,
        quiet: bool,
        stop: Callable[[], bool],
        weights: InitialWeights | None = None,
    ) -> None:
        self._clock = Clock()
        self._task = task
        self._seed = seed
        self._stop = stop
        self._own_model = model is not None
        self._weights = weights
        self._progress = Progress(task.total_steps, quiet)
        with self._clock.phase("build"):
            self._build(model)
        self._total = task.total_steps
        self._step = 0
        self._best: Best | None = None  # step and mean return of the best evaluation during training
        self._ending = False  # by `end_here`
        self._exact = True  # bit for bit what one session would have reached
        self._machine = machine.facts()
        self._slice = FIRST_SLICE
        self._reported = 0.0, 0  # training seconds and step at the last report

    def _build(self, model: keras.Model | ModelBuilder | None) -> None:
        """Makes the environments, the agent, and what runs and judges it."""
        task, seed, free = self._task, self._seed, free_memory.free_bytes()
        with contextlib.ExitStack() as failing:  # what was made is closed again if the rest can't be
            environment = build_training_environment(task)
            failing.callback(close_environment, environment)
            gear = choose_gear(task, environment)
            spec, weights = environment.spec, self._weights
            prepare = (lambda models: weights.assign(models, spec)) if weights is not None else (lambda _: None)
            self.agent = build_agent(task, seed, spec, model, gear, prepare)
            if weights is not None:
                weights.assign_statistics(self.agent)
            self._gear: Gear
            if isinstance(environment, DeviceEnvironment) and gear == "device":
                self._gear = DeviceGear(self.agent, environment, seed)
            else:
                self._gear = HostGear(self.agent, on_host(environment, task.num_environments), seed)
            snapshot.check_room(self.agent, task.total_steps, free)
            self._evaluator = build_evaluator(task, seed, self.agent, show=self._progress.evaluation)
            failing.pop_all()

    @parts_guarded()
    def begin(self, directory: RunDirectory, inexact: str) -> None:
        """Starts the run at step 0 in a new directory; `inexact` is the result of `Gear.inexact`, and causes a warning."""
        self._start(directory, inexact, 0)
        if self._weights is not None:  # they are in no config, so that from now on the run has to be resumed from a checkpoint
            self._save()

    def config(self, inexact: str) -> dict[str, Any]:
        """Returns the contents of config.json: all that is needed to run the task again or use its agent, and the machine.

        Args:
            inexact: why the run can't be resumed to the same bits; empty if it can.
        """
        task = with_packages(self._task).as_data()
        own = {"task": task, "seed": self._seed, "spec": self.agent.spec.as_data(), "inexact": inexact}
        return {**own, **({"init_from": str(self._weights.path)} if self._weights else {}), **self._machine}

    def _start(self, directory: RunDirectory, inexact: str, step: int) -> None:
        if inexact:
            warnings.warn(
                f"This run is not exactly resumable: of the environment {self.agent.spec.name!r}, {inexact}. "
                "When resumed, it continues from its checkpoint with new episodes.",
                errors.RunWarning,
                stacklevel=5,
            )
        self._directory, self._inexact = directory, inexact
        self._progress.start(step)
        with self._clock.phase("compile"):
            self._gear.start()

    def inexact(self) -> str:
        """Returns why the run can't be resumed to the same bits, as a clause; empty if it can."""
        with self._clock.phase("build"):
            return self._gear.inexact()

    def resume(self, directory: RunDirectory, checkpoint: Checkpoint | None, inexact: str, begun_on: dict[str, Any]) -> None:
        """Starts the run where a verified checkpoint was taken; None is the beginning.

        Args:
            directory: of the run.
            checkpoint: one of its own.
            inexact: as of `begin`, when the run was begun.
            begun_on: facts of the machine on which the run began.

        Raises:
            UnreadableError: the checkpoint is not one of this run.
        """
        if checkpoint is None:
            self.begin(directory, inexact)
            directory.rewind(0, 0)
            return
        self._start(directory, inexact, checkpoint.step)
        snapshot.put(checkpoint, self.agent, self._gear)
        self._step = checkpoint.step
        self._committer = Committer(directory, self._task.checkpoints_kept, self._step)
        self._best = checkpoint.facts["best"]
        whole = self._gear.is_whole(checkpoint.has("environment"))
        if not whole and not inexact:
            warnings.warn(
                f"The checkpoint doesn't say where the environment {self.agent.spec.name!r} was, so the run continues with new "
                "episodes and is not the same as one that never stopped.",
                errors.RunWarning,
                stacklevel=4,
            )
        self._exact = bool(checkpoint.facts["exact"]) and whole and not inexact and not machine.differences(begun_on)
        self._clock.add(checkpoint.facts.get("seconds", {}))
        self._reported = self._clock["train"], self._step
        directory.rewind(checkpoint.facts["metrics_bytes"], self._step)

    def lines(self, directory: RunDirectory, start: Callable[[], None]) -> Generator[dict[str, Any], None, Run]:
        """Starts, trains and evaluates; yields each line of metrics, returns the run, and closes everything at the end."""
        self._committer = Committer(directory, self._task.checkpoints_kept)
        directory.advise(resuming.command("resume", directory.path, self._task, self.agent.model, self._own_model))
        with contextlib.ExitStack() as leaving:
            leaving.callback(directory.close)
            leaving.callback(lambda: self._committer.wait())
            leaving.callback(self.close)
            try:
                with parts_guarded():
                    start()
                    yield from self.reports()
                    return self.finish()
            except GeneratorExit:  # the caller stops reading lines: what was learned is saved
                self._save_aside()
                raise
            except errors.UnfitCheckpoint:  # the newest one, so that there is nothing more to say
                raise
            except errors.AgentlabError as error:
                if not isinstance(error, errors.UsageError) or self._committer.newest() >= 0:
                    error.args = (f"{str(error).rstrip('.')}. {self._committer.describe()}", *error.args[1:])
                raise

    def end_here(self) -> None:
        """Ends training at the next step at which nothing was reported, a slice further on; then it is evaluated as usual."""
        self._ending = True

    def _save_aside(self) -> None:
        """Commits a checkpoint of a step at which nothing was reported yet, a slice further on."""
        if self._step < self._total:
            self._stop = lambda: True
            with contextlib.suppress(errors.Interrupted):
                self._advance()
            check_learning(self.agent, self._step)
            self._save()
            self._stop = lambda: False

    def reports(self) -> Iterator[dict[str, Any]]:
        """Trains to the end of the budget; yields each line of metrics.

        Raises:
            AgentlabError: an environment failed, learning became non-finite, or a file can't be written.
            Interrupted: `stop` answered True.
        """
        solved = False
        if self._step:
            line = self._settle()
            if line is not None:
                solved = self._is_solved(line)
                yield line
        while self._step < self._total and not solved:
            if self._ending:
                self._save_aside()
                return
            self._advance()
            line = self._settle()
            if line is not None:
                solved = self._is_solved(line)
                yield line

    def finish(self) -> Run:
        """Evaluates the trained agent and writes result.json."""
        evaluation = self._evaluate("evaluation")
        self._committer.wait()
        result = self._result(evaluation)
        self._directory.write_result(result)
        return Run(self._task, self._seed, self._directory.path, self.agent, result)

    def close(self) -> None:
        """Releases the environments and ends the bar."""
        self._progress.close()
        self._gear.close()
        self._evaluator.close()

    def _advance(self) -> None:
        """Trains to the next step at which something is due, in slices; or less far, if asked to stop."""
        rows, end = self._task.num_environments, self._next_end()
        while self._step < end:
            turns = min(self._slice, math.ceil((end - self._step) / rows))
            begin = time.monotonic()
            self._train(turns)
            if turns == self._slice:
                pace = SLICE_SECONDS / max(time.monotonic() - begin, 1e-9)
                self._slice = max(1, int(turns * min(max(pace, 0.25), 4.0)))
            self._committer.check()
            if self._stop() and self._step < self._total:
                check_learning(self.agent, self._step)
                raise self._interrupted()

    def _train(self, turns: int) -> None:
        step = self._step + turns * self._task.num_environments
        try:
            with self._clock.phase("train"):
                self._gear.run(turns)
        except (errors.EnvironmentFault, errors.UsageError):  # of the environment, or of actions that it doesn't take
            if any(
                leaf.limits is None for leaf in leaves_of(self.agent.spec.action).values()
            ):  # actions that grew without bound are learning's fault
                check_learning(self.agent, step)
            raise
        self._step = step

    def _evaluate(self, stream: str) -> dict[str, Any]:
        try:
            with self._clock.phase("evaluate"):
                return self._evaluator.run(stream, _now_and_then(self._stop))
        except errors.Interrupted as error:
            raise self._interrupted() from error

    def _interrupted(self) -> errors.Interrupted:
        """Commits a checkpoint of this step, and returns what tells of it."""
        self._save()
        return errors.Interrupted(f"Interrupted at step {self._step:,} of {self._total:,}.")

    def _next_end(self) -> int:
        """Returns the next step at which something is due."""
        task, step, rows = self._task, self._step, self._task.num_environments
        periods = (task.report_period, task.evaluation.period, self._checkpoint_period())
        ends = [self._total, *((step // period + 1) * period for period in periods if period)]
        return math.ceil(min(ends) / rows) * rows

    def _checkpoint_period(self) -> int:
        chosen = self._task.checkpoint_period
        return math.ceil(self._total / 10) if chosen is None else chosen

    def _settle(self) -> dict[str, Any] | None:
        """Does what is due at this step; returns the line of metrics, if one is."""
        check_learning(self.agent, self._step)
        period = self._task.evaluation.period
        evaluating, ending = self._is_due(period), self._step >= self._total
        evaluation = self._evaluate("evaluation during training") if evaluating else {}
        best = self._take_in(evaluation)
        if best or ending or self._is_due(self._checkpoint_period()):
            self._save()
        if evaluating or ending or self._is_due(self._task.report_period):
            return self._report(evaluation)
        return None

    def _is_due(self, period: int) -> bool:
        return bool(period) and self._step // period > (self._step - self._task.num_environments) // period

    def _take_in(self, evaluation: dict[str, Any]) -> bool:
        """Returns whether an evaluation is the best of this run so far."""
        finite = bool(evaluation) and math.isfinite(evaluation["return_mean"])
        best = finite and (self._best is None or evaluation["return_mean"] > self._best["return_mean"])
        if best:
            self._best = {"step": self._step, "return_mean": float(evaluation["return_mean"])}
        return best

    def _is_solved(self, line: dict[str, Any]) -> bool:
        goal, reached = self._task.evaluation.stop_return, line.get("evaluation_return_mean")
        return goal is not None and reached is not None and reached >= goal

    def _report(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        learner, (seconds, step) = self.agent.learner, self._reported
        rate = (self._step - step) / max(self._clock["train"] - seconds, 1e-9)
        self._reported = self._clock["train"], self._step
        line = {"step": self._step, "update": int(learner.updates.numpy()), **self._gear.report(), **learner.means.collect()}
        line.update({f"evaluation_{name}": value for name, value in evaluation.items() if isinstance(value, (int, float))})
        line.update(steps_per_second=rate, seconds=self._clock.total())
        self._directory.write_metrics(line)
        self._progress.chunk(line)
        return line

    def _save(self) -> None:
        """Takes the present state and begins to commit it, if that wasn't done yet."""
        if self._committer.handed_over == self._step:
            return
        self._committer.wait()  # so that there are never two copies
        written, seconds = self._directory.metrics_bytes(), self._clock.as_data()
        facts = {"metrics_bytes": written, "best": self._best, "exact": self._exact, "seconds": seconds, **self._machine}
        groups = snapshot.take(self.agent, self._gear)
        if self._inexact:
            groups.pop("environment", None)  # it could not be brought back to that
        self._committer.begin(self._step, groups, facts)

    def _result(self, evaluation: dict[str, Any]) -> Result:
        result: Result = {
            "task": self._task.name,
            "seed": self._seed,
            "gear": self._gear.name,
            "execution": self.agent.execution,
            "steps": int(self.agent.learner.steps.numpy()),
            "updates": int(self.agent.learner.updates.numpy()),
            "exact": self._exact,
            "evaluation": evaluation,
            "seconds": self._clock.as_data(),
        }
        if self._best:
            result["best"] = self._best
        return result


def _now_and_then(stop: Callable[[], bool]) -> Callable[[], bool]:
    """Returns a function that calls `stop` at most once in the time of a slice."""
    asked = time.monotonic()

    def answer() -> bool:
        nonlocal asked
        if time.monotonic() - asked < SLICE_SECONDS:
            return False
        asked = time.monotonic()
        return stop()

    return answer
