"""Trains on a problem with a known best return, and evaluates, for tests of trainers."""

from __future__ import annotations

from typing import Any

from agentlab.loop.agent import Agent, Parts
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.evaluation import CUT_OFF
from agentlab.loop.perception import Perception
from agentlab.runs.composition import build_environment, build_evaluator, build_models, build_part
from agentlab.spec import EnvironmentSpec
from agentlab.task import Task
from agentlab.testing.checks import around
from agentlab.trainer import Trainer


def mean_return(task: Task, trainer: Trainer) -> float:
    """Returns the mean return, greedy, of an agent that learned by a trainer with the other parts of a task.

    Nothing is written to disk. The task's environment is a DeviceEnvironment.
    """
    # On the device, where 20,000 steps take a second.
    environment = build_environment(task.environment, task.num_environments)
    if not environment.on_device:
        raise TypeError(f"{task.environment.name!r} runs on the host; expected a DeviceEnvironment.")
    agent = _agent(task, trainer, environment.spec)
    gear = DeviceGear(agent, environment, 0)
    gear.start()
    gear.run(task.steps // task.num_environments)

    # Other episodes than those of training, without exploration.
    judge = build_evaluator(task, 0, agent, episodes=20)
    try:
        return float(judge.run()["return_mean"])
    finally:
        judge.close()


def evaluated_twice(task: Task, trainer: Trainer) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Returns the names of the figures of an evaluation, as known before it, and what it comes to, two times.

    It is of one episode, by an agent that has learned nothing.
    """
    judge = build_evaluator(task, 0, _agent(task, trainer, around.spec_of(task.environment)), episodes=1)
    try:
        names = [name for name in judge.figures if name != CUT_OFF]
        return names, judge.run(), judge.run()
    finally:
        judge.close()


def _agent(task: Task, trainer: Trainer, spec: EnvironmentSpec) -> Agent:
    """Returns an agent that learns by a trainer with the other parts of a task, in environments of this `spec`."""
    models = build_models(task, 0, Perception(spec, task.inputs).spec, trainer)
    parts = Parts(models, build_part("sampler", task.sampler), trainer, build_part("memory", task.memory))
    return Agent(spec, parts, task.num_environments, 0, "graph", task.steps, task.normalization, task.inputs)
