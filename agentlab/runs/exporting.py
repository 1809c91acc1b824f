"""A run's policy, exported."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import Any

import keras

from agentlab import errors
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent
from agentlab.loop.export import ROWS, Export, Met, check_target, record
from agentlab.model import ModelBuilder
from agentlab.runs.composition import build_environment, build_part, check_actions, evaluation_environment, on_host
from agentlab.runs.loading import load_run
from agentlab.spec import spaces_alike
from agentlab.task import Part, Task


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

    It is compared with the agent on random observations, and on those that the agent meets when it acts in the environment of
    its evaluation; where that can't be made, a warning says so.

    Args:
        run: its directory, or a finished run; or the directory of an agent that was saved.
        path: of a new file, or a new directory for "saved-model".
        format: "saved-model", "onnx", "litert" or "keras".
        step: of the checkpoint; by default the newest that is whole.
        sampler: the name of the one that chooses the actions; by default that of the run's evaluation.
        model: as of `agentlab.load`.
        objects: as of `agentlab.load`.
        trust: as of `agentlab.resume`.

    Raises:
        UsageError: as by `agentlab.load` and `Agent.export`; or the sampler doesn't suit the actions.
    """
    check_target(path, format)
    task, seed, agent = load_run(run, step, model=model, objects=objects, trust=trust)

    # A sampler by its name has its default settings, and is tried on blank outputs first.
    chosen = None if sampler is None else build_part("sampler", Part(sampler))
    if chosen is not None:
        check_actions(chosen, agent.distribution, agent.perception.spec)
    return agent.export(path, format, sampler=chosen, recorded=_recorded(task, seed, agent))


def _recorded(task: Task, seed: int, agent: Agent) -> list[Met]:
    """Returns what an agent meets in the environment of its evaluation; nothing, with a warning, where it can't act there."""
    part = evaluation_environment(task)
    try:
        with contextlib.closing(on_host(build_environment(part, ROWS), ROWS)) as environment:
            ours, theirs = agent.perception.environment_spec, environment.spec
            if not (spaces_alike(ours.observation, theirs.observation) and spaces_alike(ours.action, theirs.action)):
                raise errors.UsageError("it shows or accepts something else than the environment of the training")
            return record(environment, agent.actor(agent.parts.evaluation_sampler, agent.policy.key), seed)
    except errors.AgentlabError as error:
        warnings.warn(
            f"The export is compared with the agent on random observations only, since the agent can't act in environment "
            f"{part.name!r}: {error}",
            errors.RunWarning,
            stacklevel=2,
        )
        return []
