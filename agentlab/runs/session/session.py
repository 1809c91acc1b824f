"""Session: trains a run from its first or last committed step to its end."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import keras

from agentlab import errors
from agentlab.foreign.part_faults import parts_guarded
from agentlab.model import ModelBuilder
from agentlab.runs import commands
from agentlab.runs.assembly import assemble
from agentlab.runs.checkpoints import Checkpoint, snapshot
from agentlab.runs.checkpoints.committer import Committer
from agentlab.runs.checkpoints.initial_weights import InitialWeights
from agentlab.runs.composition import with_packages
from agentlab.runs.files.provenance import SessionRecord
from agentlab.runs.files.run_directory import Result, RunDirectory
from agentlab.runs.run import Run
from agentlab.runs.session.display import Display
from agentlab.runs.session.finite_checks import check_learning, check_unlimited_actions
from agentlab.runs.session.reporter import Reporter
from agentlab.runs.session.saving import RunFiles, Saving, tracker_states, with_newest
from agentlab.runs.session.timetable import Slices, Timetable, rate_limited
from agentlab.runs.trackers.metrics_file import MetricsFile
from agentlab.runs.trackers.several import Trackers
from agentlab.system import machine
from agentlab.system.processes.clock import Clock
from agentlab.task import Task
from agentlab.tracker import Media, Metrics, RunControl, TrackedRun


class Session(RunControl):
    """Runs the loop through a run's budget: reports, evaluates and commits checkpoints.

    A checkpoint is taken before any work due at its step, such as a report; resuming does that work first. So a
    run that was continued, even to a larger budget, leaves the same files as one that never ended.

    Args:
        task: what to run.
        seed: determines all randomness.
        model: a Keras model of the user's own instead of the task's.
        stop: asked about twice a second; the run ends with a checkpoint when it answers True.
        display: what a person sees of the run; None for nothing.
        weights: that the run begins with; None for those that its models draw.
        tags: of a new run.

    Attributes:
        agent: under training.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        model: keras.Model | ModelBuilder | None,
        stop: Callable[[], bool],
        display: Display | None = None,
        weights: InitialWeights | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        self._display = Display() if display is None else display
        self._clock = Clock(self._display.phase)
        self._task, self._seed, self._weights = task, seed, weights
        self._stop, self._tags = stop, tags
        self._has_own_model = model is not None
        with self._clock.phase("build"):
            self._assembly = assemble(task, seed, model, weights, self._display.evaluation)
        self.agent = self._assembly.agent

        # What is due when, what is kept, and what is reported.
        self._timetable = Timetable(task)
        self._slices = Slices()
        self._saving = Saving()
        self._reporter = Reporter(task, self._assembly, self._clock)
        self._step = 0
        self._is_ending = False  # by `finish`
        self._changes: list[tuple[str, float]] = []  # live settings to change before the next step
        self._result: Result | None = None

    def config(self, inexact: str) -> dict[str, Any]:
        """Returns the contents of config.json: all that is needed to run the task again or use its agent, and the machine.

        Args:
            inexact: why the run can't be resumed to the same bits; empty if it can.
        """
        task = with_packages(self._task).as_data()
        own = {"task": task, "seed": self._seed, "spec": self.agent.spec.as_data(), "inexact": inexact}
        return {**own, **({"init_from": str(self._weights.path)} if self._weights else {}), **machine.facts()}

    def _way(self) -> str:
        """Returns on which device, in which gear and how compiled it runs, in words."""
        return f"On {machine.device()}, {self._assembly.gear.name} gear, {self.agent.execution}"

    def check_metrics(self, names: Iterable[str]) -> None:
        """Raises UsageError for a name that is neither a column of metrics.jsonl nor a number of result.json."""
        self._reporter.check(names)

    def inexact(self) -> str:
        """Returns why the run can't be resumed to the same bits, as a clause; empty if it can."""
        with self._clock.phase("build"):
            return self._assembly.gear.inexact()

    def lines(
        self, directory: RunDirectory, trackers: Trackers, metrics: MetricsFile, start: Callable[[], None]
    ) -> Generator[Metrics, None, Run]:
        """Starts, trains and evaluates; yields each line of metrics, returns the run, and closes everything at the end."""
        committer = Committer(directory, self._task.checkpoints_kept, sync=metrics.sync)
        self._files = RunFiles(directory, trackers, committer)
        directory.advise(commands.command("resume", directory.path, self._task, self.agent.parts.models, self._has_own_model))
        with contextlib.ExitStack() as leaving:
            leaving.callback(directory.close)
            record = leaving.enter_context(SessionRecord(directory, self._tags))
            leaving.callback(self._assembly.close)
            leaving.callback(lambda: self._files.close(self._result))
            self._display.open(directory.path, self._way())
            try:
                with parts_guarded():
                    start()
                    record.begin(self._clock.total())
                    yield from self._train()
                    return self._evaluated()
            except GeneratorExit:  # the caller stops reading lines: what was learned is saved
                self._save_aside()
                raise
            except errors.UnfitCheckpoint:  # the newest one: there is nothing more to say
                raise
            except errors.AgentlabError as error:
                with_newest(error, committer)
                raise

    # How it starts.

    @parts_guarded()
    def begin(self, inexact: str) -> None:
        """Starts the run at step 0; `inexact` is the result of `Gear.inexact`, and causes a warning."""
        self._start(inexact)
        self._begin_tracking({})
        if self._weights is not None:  # no config has them, so from now on the run has to be resumed from a checkpoint
            self._save()

    def resume(self, checkpoint: Checkpoint | None, inexact: str, begun_on: dict[str, Any]) -> None:
        """Starts the run where a verified checkpoint was taken; None is the beginning.

        Args:
            checkpoint: one of its own.
            inexact: as of `begin`, when the run was begun.
            begun_on: facts of the machine on which the run began.

        Raises:
            UnreadableError: the checkpoint is not one of this run.
        """
        if checkpoint is None:
            self.begin(inexact)
            return

        # The state follows the start, which compiles the loop and builds its variables.
        self._start(inexact)
        gear = self._assembly.gear
        cut = snapshot.put(checkpoint, self.agent, gear)
        self._step = checkpoint.step
        snapshot.restore_live(self.agent, checkpoint)
        self._files.committer.go_on_from(self._step)

        # Without the environment's state, episodes begin again.
        whole = gear.is_whole(checkpoint.has("environment"))
        if not whole and not inexact:
            warnings.warn(
                f"The checkpoint doesn't say where the environment {self.agent.spec.name!r} was, so the run continues with new "
                "episodes and is not the same as one that never stopped.",
                errors.RunWarning,
                stacklevel=4,
            )

        # The run is exact only if the machine and the versions are the same, too.
        self._saving.restore(checkpoint, whole and not inexact and not machine.differences(begun_on), cut)
        self._clock.add(checkpoint.facts.get("seconds", {}))
        self._reporter.begin(self._step)
        self._begin_tracking(tracker_states(checkpoint))

    def _start(self, inexact: str) -> None:
        if inexact:
            warnings.warn(
                f"This run is not exactly resumable: of the environment {self.agent.spec.name!r}, {inexact}. "
                "When resumed, it continues from its checkpoint with new episodes.",
                errors.RunWarning,
                stacklevel=5,
            )

        # Compiling counts apart from training.
        self._inexact = inexact
        with self._clock.phase("compile"):
            self._assembly.gear.start()

    def _begin_tracking(self, states: dict[str, Any]) -> None:
        config, total, headline = self.config(self._inexact), self._timetable.total, self.agent.trainer.headline
        self._files.trackers.begin(TrackedRun(config, self._files.directory.path, total, self._step, states, self, headline))

    # What others ask of it.

    def change(self, name: str, value: float) -> None:
        number = self.agent.live.check(name, value)
        self._changes.append((name, number))

    def finish(self) -> None:
        """Ends training one turn after what is due next; the evaluation follows as usual."""
        self._is_ending = True

    def media(self, name: str, content: Media) -> None:
        """Hands media to the trackers."""
        self._files.trackers.media(name, content, self._step)

    # How it goes on.

    def _train(self) -> Iterator[Metrics]:
        """Trains to the end of the budget; yields each line of metrics.

        Raises:
            AgentlabError: an environment failed, learning became non-finite, or a file can't be written.
            Interrupted: `stop` answered True.
        """
        is_solved = False

        # After a resume, what was due at the checkpoint's step comes first.
        if self._step:
            line = self._settle()
            if line is not None:
                is_solved = self._is_solved(line)
                yield line

        # Each turn of this loop ends at a step at which something is due.
        while not self._timetable.is_end(self._step) and not is_solved:
            self._make_changes()
            if self._is_ending:
                self._save_aside()
                if not self._timetable.is_end(self._step):
                    return
            else:
                self._advance()
            line = self._settle()
            if line is not None:
                is_solved = self._is_solved(line)
                yield line

    def _make_changes(self) -> None:
        """Makes the requested changes of live settings, and notifies the trackers of each."""
        changes, self._changes = self._changes, []
        for name, number in changes:
            if self.agent.live.changed.get(name) == number:  # a change may be requested again at every report
                continue
            self.agent.change(name, number)
            self._files.trackers.change({"step": self._step, "update": int(self.agent.learner.updates.numpy()), name: number})

    def _advance(self) -> None:
        """Trains to the next step at which something is due, in slices; or less far, if asked to stop."""
        end, starts = self._timetable.next_end(self._step), self.agent.learner.update_schedule.starts
        while self._step < end:
            # Turns take many times as long once updates are made: a slice ends where they begin, and the next one is small.
            is_before = self._step < starts <= end
            with self._slices.timed(self._timetable.turns_until(self._step, starts if is_before else end)) as turns:
                self._take_turns(turns)
            if is_before and self._step >= starts:
                self._slices = Slices()
            self._files.tell_of_checkpoints()
            if self._stop() and not self._timetable.is_end(self._step):
                check_learning(self.agent, self._step)
                raise self._interrupted()

    def _take_turns(self, turns: int) -> None:
        step = self._step + turns * self._task.num_environments
        try:
            with self._clock.phase("train"):
                self._assembly.gear.run(turns)
        except (errors.EnvironmentFault, errors.UsageError):  # of the environment, or of actions that it doesn't take
            check_unlimited_actions(self.agent, step)
            raise
        self._step = step
        self._display.step(step)

    def _settle(self) -> Metrics | None:
        """Does what is due at this step; returns the line of metrics, if one is."""
        check_learning(self.agent, self._step)

        # An evaluation comes before the checkpoint, which holds its result.
        timetable, step = self._timetable, self._step
        evaluation = self._evaluate("evaluation during training") if timetable.is_evaluation_due(step) else {}
        is_best = self._saving.take_in(step, evaluation)
        if is_best or timetable.is_checkpoint_due(step):
            self._save()
        if timetable.are_media_due(step):
            self._show()
        return self._report(evaluation) if timetable.is_report_due(step) else None

    def _report(self, evaluation: dict[str, Any]) -> Metrics:
        """Hands a line of metrics to the trackers; if the caller's own function raises, a checkpoint is left."""
        # A checkpoint is left whatever a reader of the line raises.
        line = self._reporter.line(self._step, evaluation)
        try:
            self._files.trackers.line(line)
            for name, histogram in self._reporter.histograms().items():
                self.media(name, histogram)
        except errors.WriteFault:
            raise
        except BaseException:
            self._save_aside()
            raise
        return line

    def _show(self) -> None:
        """Hands media of what the agent does now to the trackers; an environment that can't be drawn doesn't end the run."""
        media: dict[str, Media] = {}
        try:
            with self._evaluating():
                media = self._assembly.showcase.media(rate_limited(self._stop))
        except errors.EnvironmentFault as fault:
            warnings.warn(f"There are no media of step {self._step:,}: {fault}", errors.RunWarning, stacklevel=2)
        for name, content in media.items():
            self.media(name, content)

    def _is_solved(self, line: Metrics) -> bool:
        goal, reached = self._task.evaluation.stop_return, line.get("evaluation_return_mean")
        return goal is not None and reached is not None and reached >= goal

    def _evaluate(self, stream: str) -> dict[str, Any]:
        with self._evaluating():
            return self._assembly.evaluator.run(stream, rate_limited(self._stop))

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Counts the time of an evaluation; one that is interrupted leaves a checkpoint."""
        try:
            with self._clock.phase("evaluate"):
                yield
        except errors.Interrupted as error:
            raise self._interrupted() from error

    def _save(self) -> None:
        self._display.phase("save")
        self._saving.save(self._files, self._assembly, self._step, self._clock, self._inexact)
        self._display.phase("")

    # How it ends.

    def _save_aside(self) -> None:
        """Commits a checkpoint one turn later, at a step at which nothing was reported yet."""
        if not self._timetable.is_end(self._step):
            self._take_turns(1)
            check_learning(self.agent, self._step)
            self._save()

    def _interrupted(self) -> errors.Interrupted:
        """Commits a checkpoint of this step, and returns the error that says so."""
        self._save()
        return errors.Interrupted(f"Interrupted at step {self._step:,} of {self._timetable.total:,}.")

    def _evaluated(self) -> Run:
        """Evaluates the trained agent and writes result.json."""
        evaluation = self._evaluate("evaluation")
        self._display.phase("save")
        self._files.committer.wait()
        self._display.phase("")
        result = self._reporter.result(self._seed, self._saving, evaluation)
        self._files.directory.write_result(result)
        self._result = result
        return Run(self._task, self._seed, self._files.directory.path, self.agent, result)

    def close(self) -> None:
        """Releases the environments of a session whose lines nobody read."""
        self._assembly.close()
