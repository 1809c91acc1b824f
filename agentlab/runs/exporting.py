"""A run's policy, exported."""

from __future__ import annotations

import os
from typing import Any

import keras

from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.export import Export
from agentlab.model import ModelBuilder
from agentlab.runs.composition import build_part, check_actions
from agentlab.runs.loading import load_run
from agentlab.task import Part


@parts_guarded()
def export(
    run: str | os.PathLike[str],
    path: str | os.PathLike[str],
    format: str = "saved-model",
    *,
    step: int | None = None,
    sampler: str | None = None,
    model: keras.Model | ModelBuilder | None = None,
    objects: dict[str, Any] | None = None,
    trust: bool = False,
) -> Export:
    """Writes the whole policy of a run in a format that other programs run, see `Agent.export`.

    Args:
        run: its directory, or a finished run; or the directory of an agent that was saved.
        path: of a new file, or a new directory for "saved-model".
        format: "saved-model", "onnx" or "litert".
        step: of the checkpoint; by default the newest that is whole.
        sampler: the name of the one that chooses the actions; by default that of the run's evaluation.
        model: as of `agentlab.load`.
        objects: as of `agentlab.load`.
        trust: as of `agentlab.resume`.

    Raises:
        UsageError: as by `agentlab.load` and `Agent.export`; or the sampler doesn't suit the actions.
    """
    # A sampler by its name has its default settings, and is tried on blank outputs first.
    agent = load_run(run, step, model=model, objects=objects, trust=trust)[2]
    chosen = None if sampler is None else build_part("sampler", Part(sampler))
    if chosen is not None:
        check_actions(chosen, agent.distribution, agent.perception.spec)
    return agent.export(path, format, sampler=chosen)
