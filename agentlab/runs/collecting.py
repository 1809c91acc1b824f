"""Collecting: writes what the agents of runs do as a Minari data set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.checks import scalars
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import Evaluator, Show
from agentlab.loop.perception import Perception
from agentlab.recordings.writer import EpisodeBuffer, RecordingWriter, check_new, row_of
from agentlab.runs.composition import build_evaluator
from agentlab.runs.loading import load_run
from agentlab.spec import EnvironmentSpec, describe
from agentlab.task import Task
from agentlab.types import Decision, TimeStep

Path = str | os.PathLike[str]


@attrs.frozen
class Collection:
    """What was collected.

    Attributes:
        path: of the data set's directory.
        episodes: in all.
        steps: in all.
        return_mean: of the episodes.
        return_std: of the episodes.
    """

    path: str
    episodes: int
    steps: int
    return_mean: float
    return_std: float

    @classmethod
    def of(cls, writer: RecordingWriter) -> Collection:
        """Returns what a writer has written."""
        returns = writer.returns
        return cls(str(writer.path), len(returns), writer.steps, float(np.mean(returns)), float(np.std(returns)))


@parts_guarded()
def collect(
    runs: Path | Sequence[Path],
    output: str,
    episodes: int | None = None,
    *,
    step: int | Sequence[int] | None = None,
    seed: int | None = None,
    changes: dict[str, Any] | None = None,
    reference_returns: tuple[float, float] | None = None,
    trust: bool = False,
    show: Show = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Collection:
    """Writes whole episodes of the agents of runs as a Minari data set, acting as in their evaluations.

    Args:
        runs: the directory of a run, or of several whose environments show and accept the same.
        output: of the data set: an id such as "cartpole/expert-v0", for Minari's folder, or the path of a new directory.
        episodes: of each agent; by default as many as its task evaluates.
        step: of the checkpoint, or of several of each run, an agent each; by default the newest that is whole.
        seed: of the episodes; by default each run's.
        changes: to the tasks, as nested tables: `{"evaluation": {"sampler": {"name": "stochastic"}}}`.
        reference_returns: the mean returns of a random and of a good agent, by which scores are normalised: 0 and 1.
        trust: as of `agentlab.resume`.
        show: see `agentlab.loop.evaluation.Evaluator`.
        stop: asked before each step; nothing is written if it answers True.

    Raises:
        UsageError: a run can't be loaded, there is a data set of this name already, or the environments differ.
        WriteFault: the data set can't be written.
        Interrupted: `stop` answered True.
    """
    # What can be refused is refused before anything is loaded.
    check_new(output)
    chosen = None if episodes is None else scalars.whole(episodes, "The number of episodes", 1)

    # An agent of every run and checkpoint, one after the other.
    agents = _loaded(runs, step, trust, changes)
    spec = _common_spec(agents)
    writer = RecordingWriter(output, spec.observation, spec.action, _metadata(agents, reference_returns))
    with writer:
        env_specs = set()
        for number, (task, own_seed, agent) in enumerate(agents):
            record = _Recorder(writer, agent.perception).record
            evaluator = build_evaluator(task, own_seed if seed is None else seed, agent, chosen, show, record)
            env_specs.add(_play(evaluator, f"collection {number}", stop))
        writer.metadata |= _env_spec(env_specs)
    return Collection.of(writer)


def _loaded(
    runs: Path | Sequence[Path], step: int | Sequence[int] | None, trust: bool, changes: dict[str, Any] | None
) -> list[tuple[Task, int, Agent]]:
    """Returns an agent of every run and checkpoint, with its task and seed."""
    paths = [runs] if isinstance(runs, (str, os.PathLike)) else list(runs)
    steps = list(step) if isinstance(step, Sequence) else [step]
    return [load_run(path, at, trust=trust, changes=changes) for path in paths for at in steps]


def _play(evaluator: Evaluator, stream: str, stop: Callable[[], bool]) -> str:
    """Plays an evaluator's episodes and closes it; returns the `env_spec` of its environment."""
    with contextlib.closing(evaluator):
        evaluator.run(stream, stop)
        return evaluator.environment.env_spec()


def _common_spec(agents: list[tuple[Task, int, Agent]]) -> EnvironmentSpec:
    """Returns the spec of the environments of all agents; raises UsageError if two differ in what they show or accept."""
    first, *others = [agent.spec for _, _, agent in agents]
    for other in others:
        if (other.observation, other.action) != (first.observation, first.action):
            raise errors.UsageError(
                f"The runs have different environments: {first.name!r} shows a {describe(first.observation)} and takes a "
                f"{describe(first.action)}, {other.name!r} shows a {describe(other.observation)} and takes a "
                f"{describe(other.action)}. Collect a data set from each."
            )
    return first


def _metadata(agents: list[tuple[Task, int, Agent]], reference_returns: tuple[float, float] | None) -> dict[str, Any]:
    """Returns what `metadata.json` says about the agents.

    Raises:
        UsageError: the reference returns are no two different numbers.
    """
    # By whom, and where.
    names = sorted({task.trainer.name for task, _, _ in agents})
    environments = sorted({agent.spec.name for _, _, agent in agents})
    described = {"algorithm_name": ", ".join(names), "description": f"Collected by agentlab in {', '.join(environments)}."}
    if reference_returns is None:
        return described
    low, high = map(float, reference_returns)
    if not np.isfinite([low, high]).all() or low == high:
        raise errors.UsageError(f"The reference returns are {low} and {high}; expected two different, finite numbers.")
    return {**described, "ref_min_score": low, "ref_max_score": high}


def _env_spec(env_specs: set[str]) -> dict[str, str]:
    """Returns the entry by which Minari makes the environment again, if all agents were in the same one of Gymnasium's."""
    (spec,) = env_specs if len(env_specs) == 1 else {""}
    return {"env_spec": spec} if spec else {}


class _Recorder:
    """Takes in the steps of an evaluation.

    Args:
        writer: of the data set.
        perception: of the agent, which may see more than the environment shows.
    """

    def __init__(self, writer: RecordingWriter, perception: Perception) -> None:
        self._writer, self._perception = writer, perception
        self._buffer: EpisodeBuffer | None = None

    def record(self, decision: Decision, timestep: TimeStep, counting: np.ndarray, finished: np.ndarray) -> None:
        """Takes in a step of B environments; see `agentlab.loop.evaluation.Evaluator`."""
        if self._buffer is None:
            self._buffer = EpisodeBuffer(self._writer, len(counting))

        # What the environment showed, which may be less than the agent saw.
        observation = self._perception.unjoined(decision.observation)
        final_observation = self._perception.unjoined(timestep.final_observation)
        for row in np.flatnonzero(counting).tolist():
            self._buffer.add(row, row_of(observation, row), row_of(decision.action, row), float(timestep.reward[row]))
            if finished[row]:
                self._buffer.end(row, row_of(final_observation, row), bool(timestep.terminated[row]))
