"""An agent: the models of the trainer's networks, samplers, trainer and memory that a task names."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from agentlab import errors
from agentlab.algorithms.normalization import normalized_spec
from agentlab.checks import scalars
from agentlab.distribution import Distribution
from agentlab.foreign.part_faults import parts_guarded
from agentlab.loop.agent import Agent, Parts
from agentlab.loop.perception import Perception
from agentlab.model import ModelBuilder
from agentlab.runs.agent_files import AgentFiles
from agentlab.runs.composition.environments import build_training_environment
from agentlab.runs.composition.free_outputs import with_free_outputs
from agentlab.runs.composition.parts import build_part
from agentlab.runs.composition.tasks import resolved
from agentlab.runs.model_building import MOST_COPIES, build_model, within_reason
from agentlab.sampler import Sampler
from agentlab.seeds import at, stream
from agentlab.spec import EnvironmentSpec, choices_of, describe, map_space
from agentlab.system.processes import forks
from agentlab.system.tracebacks import describe_error
from agentlab.task import Task
from agentlab.tensors import execution as executions
from agentlab.trainer import Network, Trainer


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
    trainer, seen = build_part("trainer", task.trainer), Perception(spec, task.inputs).spec
    models = build_models(task, seed, seen, trainer, model)
    prepare(models)
    samplers = [build_part("sampler", task.sampler), build_part("sampler", task.evaluation.sampler, "evaluation.sampler")]
    for sampler in samplers:
        check_actions(sampler, trainer.distribution(seen), seen)
    parts = Parts(models, samplers[0], trainer, build_part("memory", task.memory), samplers[1])

    # The acting network decides whether XLA or a graph is faster.
    acting = next(iter(models.values()))[0]
    execution = executions.resolve(task.execution, acting, gear)
    agent = Agent(spec, parts, task.num_environments, seed, execution, task.steps, task.normalization, task.inputs)
    agent.files = AgentFiles(task, seed)
    return agent


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

    # Streams of their own: another number of networks leaves the acting one's weights as they are. The budget is for all.
    _check_copies(networks, task.trainer.name)
    acting, models = next(iter(networks)), {}
    parts = {name: task.models.get(name, task.model) for name in networks}
    paths = {name: f"models.{name}" if name in task.models else "model" for name in networks}
    with within_reason(any(part.from_file for part in parts.values()), layers=math.inf):
        for name, network in networks.items():
            source = model if model is not None and name == acting else build_part("model", parts[name], paths[name])
            input_spec = network.input_spec(normalized_spec(spec, task.normalization))
            key = seed if name == acting else stream(seed, f"network {name}")
            keys = [key if index == 0 else stream(key, f"copy {index}") for index in range(network.count)]
            source, of_file = with_free_outputs(source, input_spec, network.free_outputs), bool(parts[name].from_file)
            models[name] = [build_model(source, input_spec, network.num_outputs, own, of_file) for own in keys]
    return models


def _check_copies(networks: dict[str, Network], trainer: str) -> None:
    """Raises UsageError if a trainer asks for more copies of a network than any ensemble has."""
    for name, network in networks.items():
        if network.count > MOST_COPIES:
            raise errors.UsageError(
                f"Trainer {trainer!r} asks for {network.count:,} networks {name!r} side by side; expected at most "
                f"{MOST_COPIES}. Lower its settings."
            )


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
        environment: that of your loop, if it isn't the task's: a name or an object, as of `agentlab.run`.

    Raises:
        UsageError: the task, a part or a setting is wrong.
    """
    resolved_task, seed = resolved(task, changes, environment), scalars.whole(seed, "The seed")
    with contextlib.ExitStack() as closing:
        built = build_training_environment(resolved_task)
        closing.callback(built.close)
        return build_agent(resolved_task, seed, built.spec, model)
