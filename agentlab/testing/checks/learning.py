"""Trains on a problem with a known best return, for tests of trainers."""

from __future__ import annotations

from agentlab.loop.agent import Agent, Parts
from agentlab.loop.device_gear import DeviceGear
from agentlab.runs.composition import build_environment, build_evaluator, build_models, build_part
from agentlab.task import Task
from agentlab.trainer import Trainer


def mean_return(task: Task, trainer: Trainer) -> float:
    """Returns the mean return, greedy, of an agent that learned by a trainer with the other parts of a task.

    Nothing is written to disk. The task's environment is a DeviceEnvironment.
    """
    # On the device, where 20,000 steps take a second.
    environment = build_environment(task.environment, task.num_environments)
    if not environment.on_device:
        raise TypeError(f"{task.environment.name!r} runs on the host; expected a DeviceEnvironment.")
    spec = environment.spec
    models = build_models(task, 0, spec, trainer)
    parts = Parts(models, build_part("sampler", task.sampler), trainer, build_part("memory", task.memory))
    agent = Agent(spec, parts, task.num_environments, seed=0, execution="graph", steps=task.steps)
    gear = DeviceGear(agent, environment, 0)
    gear.start()
    gear.run(task.steps // task.num_environments)

    # Other episodes than those of training, without exploration.
    judge = build_evaluator(task, 0, agent, episodes=20)
    try:
        return float(judge.run()["return_mean"])
    finally:
        judge.close()
