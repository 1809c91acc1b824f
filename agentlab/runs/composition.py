"""Composition: from a task's part names and settings to the objects that run."""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Callable
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors, settings
from agentlab.algorithms.normalization import normalized_spec
from agentlab.checks import scalars
from agentlab.configuration import merged
from agentlab.distribution import Distribution
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.foreign import guard
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.evaluation import Evaluator, Show
from agentlab.model import ModelBuilder
from agentlab.registry import environment_objects, plugins
from agentlab.registry import task_changes as changing
from agentlab.registry.kinds import KINDS
from agentlab.runs.free_outputs import with_free_outputs
from agentlab.runs.model_building import build_model
from agentlab.sampler import Sampler
from agentlab.seeds import at, stream
from agentlab.spec import EnvironmentSpec, choices_of, describe, leaves_of, map_space
from agentlab.spec.environment_spec import LARGEST
from agentlab.system import free_memory
from agentlab.system.processes import forks
from agentlab.system.tracebacks import describe_error
from agentlab.task import PART_KINDS, Part, Task
from agentlab.tensors import execution as executions
from agentlab.tensors import model_footprint
from agentlab.trainer import Trainer

# Environments side by side, at most. Ten times as many spare an MLP 0.3 of the 0.5 s that MNIST's 10,000 take, a CNN nothing.
EVALUATION_ROWS = 100
FLOAT = 4  # bytes
COPIES = 3  # of an observation: shown, led to, and on its way


def build_part(kind: str, part: Part, **extra: object) -> Any:
    """Returns the part: its class loaded through its entry point, its settings checked; `given` are the runner's own.

    Raises:
        PluginError: it cannot be loaded.
        UsageError: it is of another kind, or a setting is wrong.
    """
    cls = plugins.load(kind, part.reference)
    if not (isinstance(cls, type) and issubclass(cls, KINDS[kind].contract_classes())):
        expected = " or ".join(KINDS[kind].contracts)
        raise errors.PluginError(f"The {kind} {part.name!r} is {cls!r}; expected a class derived from {expected}.")
    return settings.build(cls, {**part.settings, **extra}, f"{kind} {part.name!r}")


def build_environment(part: Part, num_environments: int, **extra: object) -> Environment | DeviceEnvironment:
    """Returns an environment; a host environment is given the number of its rows, and is behind the guard.

    Raises:
        UsageError: it can't be made.
    """
    cls = plugins.load("environment", part.reference)
    host = isinstance(cls, type) and issubclass(cls, Environment)
    check_imports(cls, part)
    rows = {"num_environments": num_environments, **extra} if host else {}

    def fault(error: BaseException) -> errors.UsageError:
        return errors.UsageError(f"Environment {part.name!r} can't be made: it raised {describe_error(error)}.")

    # From here on this is other people's code.
    built = guard.ask(lambda: build_part("environment", part, **rows), fault)
    checked = guard.guarded(built) if isinstance(built, Environment) else built
    try:
        _check_room(checked.spec, num_environments)
    except BaseException:
        close_environment(checked)
        raise
    return checked


def check_imports(cls: object, part: Part) -> None:
    """Raises UsageError if a file has a module imported that no installed package registers environments from."""
    if not part.from_file or not hasattr(cls, "imported_modules"):
        return
    for module in cls.imported_modules({name: part.settings[name] for name in part.from_file}):
        if not plugins.registers_environments(module):
            raise errors.UsageError(
                f"The file that asks for environment {part.name!r} would have the module {module!r} imported, from which no "
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
    if isinstance(environment, DeviceEnvironment):
        environment.initial(at(0, 0), task.num_environments)
    return environment


def on_host(environment: Environment | DeviceEnvironment, rows: int) -> Environment:
    """Returns `environment` itself, or a DeviceEnvironment's host face."""
    return HostedEnvironment(environment, rows) if isinstance(environment, DeviceEnvironment) else environment


def build_agent(
    task: Task,
    seed: int,
    spec: EnvironmentSpec,
    model: keras.Model | ModelBuilder | None = None,
    gear: str = "host",
    prepare: Callable[[dict[str, list[keras.Model]]], None] = lambda _: None,
) -> Agent:
    """Returns the task's agent, untrained, for environments of this `spec`; `model` replaces the task's own.

    `prepare` is called with the built models by network, before anything is made that begins as a copy of them.

    Raises:
        UsageError: parts do not fit together.
    """
    # TensorFlow does not survive a fork.
    forks.check()
    trainer = build_part("trainer", task.trainer)
    models = build_models(task, seed, spec, trainer, model)
    prepare(models)
    samplers = [build_part("sampler", part) for part in (task.sampler, task.evaluation.sampler)]
    for sampler in samplers:
        check_actions(sampler, trainer.distribution(spec), spec)
    parts = Parts(models, samplers[0], trainer, build_part("memory", task.memory), samplers[1])

    # The acting network decides whether XLA or a graph is faster.
    acting = next(iter(models.values()))[0]
    execution = executions.resolve(task.execution, acting, gear)
    return Agent(spec, parts, task.num_environments, seed, execution, task.steps, task.normalization)


def build_models(
    task: Task, seed: int, spec: EnvironmentSpec, trainer: Trainer, model: keras.Model | ModelBuilder | None = None
) -> dict[str, list[keras.Model]]:
    """Returns the models of the trainer's networks, each with weights from a stream of its own; `model` is the acting one's.

    Raises:
        UsageError: the task names a network that the trainer does not have, or a model does not fit.
    """
    networks = trainer.networks(spec)
    if unknown := [name for name in task.models if name not in networks]:
        raise errors.UsageError(errors.unknown("network", unknown[0], networks, f"Networks of trainer {task.trainer.name!r}"))

    # Streams of their own: another number of networks leaves the acting one's weights as they are.
    acting, models = next(iter(networks)), {}
    for name, network in networks.items():
        part = task.models.get(name, task.model)
        source = model if model is not None and name == acting else build_part("model", part)
        input_spec = network.input_spec(normalized_spec(spec, task.normalization))
        key = seed if name == acting else stream(seed, f"network {name}")
        keys = [key if index == 0 else stream(key, f"copy {index}") for index in range(network.count)]
        source = with_free_outputs(source, input_spec, network.free_outputs)
        models[name] = [build_model(source, input_spec, network.num_outputs, own, bool(part.from_file)) for own in keys]
    return models


def check_actions(sampler: Sampler, distribution: Distribution, spec: EnvironmentSpec) -> None:
    """Draws one action from blank outputs.

    Raises:
        UsageError: it is not of the shape that the environment takes, or can't be drawn from such outputs.
    """
    # Blank outputs of one row; a sampler that fails here would fail at the first step.
    output = tf.zeros([1, *choices_of(spec.action), distribution.num_outputs])
    try:
        action = sampler.sample(distribution.of(output), tf.constant(0, tf.int64), at(0, 0))
    except errors.AgentlabError:
        raise
    except Exception as error:
        raise errors.UsageError(
            f"Sampler {type(sampler).__name__} can't draw an action of {spec.name!r} from a {type(distribution).__name__} of "
            f"{distribution.num_outputs} outputs, which is what the trainer's outputs stand for: {describe_error(error)}. "
            "Choose another sampler, in training (sampler.name) and evaluation (evaluation.sampler.name)."
        ) from error

    # The shapes of one action, without the batch axis.
    shapes = tf.nest.map_structure(lambda leaf: tuple(leaf.shape[1:]), action)
    expected = map_space(lambda space: space.shape, spec.action)
    if shapes != expected:
        raise errors.UsageError(
            f"Sampler {type(sampler).__name__} draws actions of shape {shapes} from a {type(distribution).__name__}; "
            f"environment {spec.name!r} takes a {describe(spec.action)}. Choose 'greedy' or 'stochastic' in "
            "training (sampler.name) and evaluation (evaluation.sampler.name)."
        )


@parts_guarded()
def make_agent(
    task: str | Task,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    *,
    model: keras.Model | ModelBuilder | None = None,
    environment: Any = None,
) -> Agent:
    """Returns a task's agent, untrained, for a loop of your own.

    Args:
        task: its name, or a task of your own.
        seed: determines its weights and draws.
        changes: to the task, as nested tables: `{"num_environments": 8, "trainer": {"discount": 0.98}}`.
        model: a Keras model of your own, or what builds one, instead of the task's.
        environment: the Gymnasium environment of your loop, if it isn't the task's: an object, or a function that makes one.

    Raises:
        UsageError: the task, a part or a setting is wrong.
    """
    resolved_task, seed = resolved(task, changes, environment), scalars.whole(seed, "The seed")
    with contextlib.ExitStack() as closing:
        built = build_training_environment(resolved_task)
        closing.callback(close_environment, built)
        return build_agent(resolved_task, seed, built.spec, model)


def close_environment(environment: Environment | DeviceEnvironment) -> None:
    """Releases what an environment on the host holds; one of TensorFlow functions holds nothing."""
    if isinstance(environment, Environment):
        environment.close()


def choose_gear(task: Task, environment: Environment | DeviceEnvironment) -> str:
    """Returns "host" or "device" for the task's gear.

    Raises:
        UsageError: the device gear is asked for an environment that lives on the host.
    """
    on_device = isinstance(environment, DeviceEnvironment)
    if task.gear == "device" and not on_device:
        raise errors.UsageError(
            f"The device gear compiles the environment into the loop; {task.environment.name!r} runs on the host. "
            "Use gear host."
        )
    return "device" if on_device and task.gear != "host" else "host"


@parts_guarded()
def build_evaluator(
    task: Task, seed: int, agent: Agent, episodes: int | None = None, show: Show = lambda *_: None
) -> Evaluator:
    """Returns the evaluator of an agent as the task says, with another number of `episodes` if given.

    Neither given, a finite data set is read through once, and other environments play 100 episodes.
    """
    seed = scalars.whole(seed, "The seed")
    part = evaluation_environment(task)
    chosen = task.evaluation.episodes if episodes is None else scalars.whole(episodes, "The number of episodes", 1)

    # No more rows than episodes: each plays at least one to its end.
    rows = min(chosen or EVALUATION_ROWS, EVALUATION_ROWS)
    model_footprint.check(next(iter(agent.parts.models.values()))[0], rows, "evaluation.episodes")
    built = build_environment(part, rows)
    count = chosen or built.spec.num_episodes or EVALUATION_ROWS
    environment = on_host(built, min(count, rows))

    # Draws of a stream of their own, so that evaluating changes nothing in training.
    actor = agent.actor(agent.parts.evaluation_sampler, stream(seed, "evaluation"))
    try:
        return Evaluator(environment, actor, count, seed, agent.trainer.score, task.evaluation.max_episode_steps, show)
    except BaseException:
        environment.close()
        raise


def evaluation_environment(task: Task) -> Part:
    """Returns where the agent is judged: what isn't said of the same environment is as in training, such as its data."""
    part = task.evaluation.environment or task.environment
    if part.name != task.environment.name:
        return part
    inherited = task.environment.from_file - part.settings.keys()
    whole = merged(task.environment.settings, part.settings)
    return Part(part.name, whole, part.package or task.environment.package, inherited | part.from_file)


def with_packages(task: Task) -> Task:
    """Returns the task with the package that each of its parts is of, for the record; parts of single files have none."""

    def settled(kind: str, part: Part) -> Part:
        return attrs.evolve(part, package=part.package or plugins.package_of(kind, part.name))

    parts: dict[str, Any] = {kind: settled(kind, getattr(task, kind)) for kind in PART_KINDS}
    judged = {kind: getattr(task.evaluation, kind) for kind in ("environment", "sampler")}
    judged = {kind: part and settled(kind, part) for kind, part in judged.items()}
    models = {name: settled("model", part) for name, part in task.models.items()}
    return attrs.evolve(task, **parts, models=models, evaluation=attrs.evolve(task.evaluation, **judged))


def resolved(task: str | Task, changes: dict[str, Any] | None = None, environment: Any = None) -> Task:
    """Returns the task of a name, or `task` itself, in an environment given as an object if one is, with changes.

    Raises:
        UsageError: there is no such task, or an argument is of another kind.
    """
    if not isinstance(task, (str, Task)):
        raise errors.UsageError(
            f"The task is {errors.quoted(task)}; expected the name of one, such as 'dqn-cartpole', or an agentlab.Task."
        )
    if not isinstance(changes, (dict, types.NoneType)):
        raise errors.UsageError(
            f'The changes are {errors.quoted(changes)}; expected nested tables, such as {{"trainer": {{"discount": 0.9}}}}.'
        )

    # The environment before the changes, which may set its arguments.
    task_of_run = find_task(task) if isinstance(task, str) else task
    if environment is not None:
        task_of_run = environment_objects.with_environment(task_of_run, environment)
    return changing.changed(task_of_run, changes or {})


def find_task(name: str) -> Task:
    """Returns the task that an entry point names.

    Raises:
        PluginError: there is none, or what it names is not a task.
    """
    loaded = plugins.load("task", name)
    if not isinstance(loaded, Task):
        raise errors.PluginError(f"The task {name!r} is {loaded!r}; expected an agentlab.task.Task.")
    return loaded
