"""The environments that a task trains and evaluates in, checked before anything runs in them."""

from __future__ import annotations

import math

import numpy as np

from agentlab import errors
from agentlab.configuration import merged
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.foreign import guard
from agentlab.loop.agent import Agent
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.gear import Gear
from agentlab.loop.host.gear import HostGear
from agentlab.registry import packages
from agentlab.runs.composition.parts import build_part, part_class
from agentlab.seeds import at
from agentlab.spec import EnvironmentSpec, leaves_of
from agentlab.spec.environment_spec import LARGEST
from agentlab.system import free_memory
from agentlab.system.processes import forks
from agentlab.system.tracebacks import describe_error
from agentlab.task import Part, Task

FLOAT = 4  # bytes
COPIES = 3  # of an observation: shown, led to, and on its way


def build_environment(part: Part, num_environments: int, **extra: object) -> Environment | DeviceEnvironment:
    """Returns an environment; a host environment is given the number of its rows, and is behind the guard.

    Raises:
        UsageError: it can't be made.
    """
    cls = part_class("environment", part)
    check_imports(cls, part)
    rows = {} if cls.on_device else {"num_environments": num_environments, **extra}

    def fault(error: BaseException) -> errors.UsageError:
        return errors.UsageError(f"Environment {part.name!r} can't be made: it raised {describe_error(error)}.")

    # From here on this is other people's code.
    built = guard.ask(lambda: build_part("environment", part, **rows), fault)
    checked = built if built.on_device else guard.guarded(built)
    try:
        _check_room(checked.spec, num_environments)
    except BaseException:
        checked.close()
        raise
    return checked


def check_imports(cls: object, part: Part) -> None:
    """Raises UsageError if a file has a module imported that no installed package registers environments from."""
    if not part.from_file or not hasattr(cls, "imported_modules"):
        return
    for module in cls.imported_modules({name: part.settings[name] for name in part.from_file}):
        if not packages.registers_environments(module):
            kind = "file" if module.endswith(".py") else "module"
            raise errors.UsageError(
                f"The file that asks for environment {part.name!r} would have the {kind} {module!r} imported, from which no "
                "installed package registers environments. If you know what it does, say so: --trust, or trust=True in Python."
            )


def _check_room(spec: EnvironmentSpec, rows: int) -> None:
    """Raises UsageError if observations are larger than any array, or there is no memory for those of all rows."""
    observations, actions = leaves_of(spec.observation).values(), leaves_of(spec.action).values()
    size, outputs = sum(math.prod(leaf.shape) for leaf in observations), sum(leaf.num_features for leaf in actions)
    for count, what in ((size, f"observations of {size:,} numbers"), (outputs, f"actions of {outputs:,} outputs")):
        if count > LARGEST:
            raise errors.UsageError(f"Environment {spec.name!r} has {what}; expected at most {LARGEST:,}. Lower its settings.")
    observed = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in observations)
    needed = rows * (observed + FLOAT * outputs) * COPIES
    free_memory.check_free(needed, f"A step of {rows:,} environments {spec.name!r}", "num_environments")


def build_training_environment(task: Task) -> Environment | DeviceEnvironment:
    """Returns the environment that a task trains in.

    Raises:
        UsageError: it doesn't support so many environments side by side; raised before a run begins.
    """
    forks.check()
    environment = build_environment(task.environment, task.num_environments)
    if environment.on_device:
        environment.initial(at(0, 0), task.num_environments)
    return environment


def on_host(environment: Environment | DeviceEnvironment, rows: int) -> Environment:
    """Returns `environment` itself, or a DeviceEnvironment's host face."""
    return HostedEnvironment(environment, rows) if environment.on_device else environment


def choose_gear(task: Task, environment: Environment | DeviceEnvironment) -> str:
    """Returns "host" or "device" for the task's gear.

    Raises:
        UsageError: the device gear is asked for an environment that lives on the host.
    """
    if task.gear == "device" and not environment.on_device:
        raise errors.UsageError(
            f"The device gear compiles the environment into the loop; {task.environment.name!r} runs on the host. "
            "Use gear host."
        )
    return "device" if environment.on_device and task.gear != "host" else "host"


def build_gear(gear: str, agent: Agent, environment: Environment | DeviceEnvironment, seed: int) -> Gear:
    """Returns what repeats the loop body, by the name of `choose_gear`; the environment is the gear's from now on."""
    if environment.on_device and gear == "device":
        return DeviceGear(agent, environment, seed)
    return HostGear(agent, on_host(environment, agent.num_environments), seed)


def evaluation_environment(task: Task) -> Part:
    """Returns the environment of evaluations; if it is the same one, settings not given are those of training."""
    part = task.evaluation.environment or task.environment
    if part.name != task.environment.name:
        return part
    inherited = task.environment.from_file - part.settings.keys()
    whole = merged(task.environment.settings, part.settings)
    return Part(part.name, whole, part.package or task.environment.package, inherited | part.from_file)
