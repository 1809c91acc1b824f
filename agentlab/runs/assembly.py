"""What a run is assembled from: the agent, the gear that runs it, and the evaluator."""

from __future__ import annotations

import contextlib

import attrs
import keras

from agentlab.loop.agent import Agent
from agentlab.loop.evaluation import Evaluator, Show
from agentlab.loop.gear import Gear
from agentlab.model import ModelBuilder
from agentlab.runs.checkpoints import snapshot
from agentlab.runs.checkpoints.initial_weights import InitialWeights
from agentlab.runs.composition import (
    Showcase,
    build_agent,
    build_evaluator,
    build_gear,
    build_showcase,
    build_training_environment,
    choose_gear,
)
from agentlab.runs.session.timetable import Timetable
from agentlab.system import free_memory
from agentlab.task import Task


@attrs.frozen(eq=False)
class Assembly:
    """The living objects of a run.

    Attributes:
        agent: acts and learns.
        gear: repeats the loop body, in environments of its own.
        evaluator: judges the agent, in environments of its own.
        showcase: makes media of what the agent does, in an environment of its own.
    """

    agent: Agent
    gear: Gear
    evaluator: Evaluator
    showcase: Showcase

    def close(self) -> None:
        """Releases the environments."""
        self.gear.close()
        self.evaluator.close()
        self.showcase.close()


def assemble(
    task: Task, seed: int, model: keras.Model | ModelBuilder | None, weights: InitialWeights | None, show: Show
) -> Assembly:
    """Returns the objects that run a task; arguments are those of `Session`.

    Raises:
        UsageError: they do not fit together, or there is no memory for them.
    """
    free = free_memory.free_bytes()
    with contextlib.ExitStack() as failing:  # what was made is closed again if the rest can't be made
        environment = build_training_environment(task)
        failing.callback(environment.close)
        chosen = choose_gear(task, environment)
        prepare = (lambda _: None) if weights is None else (lambda models: weights.assign(models, environment.spec))
        agent = build_agent(task, seed, environment.spec, model, chosen, prepare)
        if weights is not None:
            weights.assign_statistics(agent)
        agent.live.add("environment", environment.unguarded, None if environment.on_device else environment.change)
        gear = build_gear(chosen, agent, environment, seed)
        snapshot.check_room(agent, task.total_steps, Timetable(task).checkpoint_period, free)
        evaluator = build_evaluator(task, seed, agent, show=show)
        failing.callback(evaluator.close)
        showcase = build_showcase(task, seed, agent)
        failing.pop_all()
    return Assembly(agent, gear, evaluator, showcase)
