"""A run's agent, evaluated again."""

from __future__ import annotations

import os
from typing import Any

import keras

from agentlab.foreign.part_faults import parts_guarded
from agentlab.model import ModelBuilder
from agentlab.runs.composition import build_evaluator
from agentlab.runs.loading import load_run
from agentlab.runs.trackers.progress import Progress
from agentlab.task import Task


def evaluate(
    run: str | os.PathLike[str],
    step: int | None = None,
    *,
    episodes: int | None = None,
    seed: int | None = None,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    trust: bool = False,
    changes: dict[str, Any] | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Evaluates a checkpoint of a run over whole episodes, as its task says, and returns the figures, such as `return_mean`.

    Args:
        run: its directory, or a finished run.
        step: of the checkpoint; by default the newest that is whole.
        episodes: how many; by default as the task says.
        seed: of the episodes; by default the run's.
        model: as of `agentlab.load`.
        objects: as of `agentlab.load`.
        trust: as of `agentlab.resume`.
        changes: to its task for this evaluation, as nested tables: `{"evaluation": {"sampler": {"name": "stochastic"}}}`.
        quiet: show no progress.

    Raises:
        UsageError: as by `agentlab.load`; or a number is out of its range.
        EnvironmentFault: the environment failed.
    """
    opened = {"model": model, "objects": objects, "trust": trust, "changes": changes}
    return evaluate_run(run, step, episodes, seed, quiet, **opened)[1]


@parts_guarded()
def evaluate_run(
    run: str | os.PathLike[str], step: int | None, episodes: int | None, seed: int | None, quiet: bool, **opened: Any
) -> tuple[Task, dict[str, Any]]:
    """Returns a run's task and the figures of its evaluation; `opened` is as of `load_run`, the rest as of `evaluate`."""
    # Evaluated as at the end of the run, over other episodes with another seed.
    task, own_seed, agent = load_run(run, step, **opened)
    progress = Progress(quiet)
    evaluator = build_evaluator(task, own_seed if seed is None else seed, agent, episodes, progress.evaluation)
    try:
        return task, evaluator.run()
    finally:
        progress.end(None)
        evaluator.close()
