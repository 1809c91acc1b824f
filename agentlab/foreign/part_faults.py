"""Part faults: what other people's parts raise, traced or eagerly, is reported as the fault of that part.

Parts are called all over the loop, mostly as it is compiled. So nothing stands around the single calls: an exception is looked
into where a run, or whatever else uses an agent, would end with it.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from agentlab import errors
from agentlab.environment import DeviceEnvironment
from agentlab.foreign.guard import is_interrupt
from agentlab.memory import Memory
from agentlab.model import ModelBuilder
from agentlab.sampler import Sampler
from agentlab.schedules import Schedule
from agentlab.system.tracebacks import describe_error, foreign_frames
from agentlab.trainer import Score, Trainer

KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("environment", (DeviceEnvironment,)),
    ("trainer", (Trainer,)),
    ("sampler", (Sampler,)),
    ("memory", (Memory,)),
    ("model", (ModelBuilder, keras.Model)),
    ("layer", (keras.layers.Layer,)),
    ("schedule", (Schedule, keras.optimizers.schedules.LearningRateSchedule)),
    ("optimizer", (keras.optimizers.Optimizer,)),
    ("loss", (keras.losses.Loss,)),
    ("metric", (keras.metrics.Metric,)),
    ("score", (Score,)),
)


@contextlib.contextmanager
def parts_guarded() -> Iterator[None]:
    """Raises the fault of the part that raised an exception inside; errors of agentlab's own, and Ctrl-C, go through.

    Raises:
        EnvironmentFault: it was a DeviceEnvironment.
        PartFault: it was another part, or a function that was compiled of parts.
    """
    try:
        yield
    except (errors.AgentlabError, errors.RunWarning):
        raise

    # SystemExit as well: a part does not end the program.
    except BaseException as error:
        fault = None if is_interrupt(error) else _fault(error)
        if fault is None:
            raise
        raise fault from error


def _fault(error: BaseException) -> errors.AgentlabError | None:
    """Returns the fault that describes an exception; None if no foreign part was running."""
    for cause in _causes(error):
        part = _part_under_way(cause)
        if part is not None:
            return _fault_of(*part, cause)
    return _compiled_fault(error) if isinstance(error, tf.errors.OpError) else None


def _compiled_fault(error: BaseException) -> errors.PartFault:
    """Returns the fault of what a compiled function raised as it ran, of which TensorFlow tells only where it is written."""
    full = isinstance(error, tf.errors.ResourceExhaustedError)
    remedy = "Lower num_environments, or the settings of model and memory" if full else "Fix the part that is written there"
    return errors.PartFault(f"A compiled function of the run's parts failed: it raised {describe_error(error)}. {remedy}.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and those it came of: TensorFlow raises another when it has converted a function's control flow."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _part_under_way(error: BaseException) -> tuple[str, Any, types.FrameType] | None:
    """Returns the kind of the innermost part whose own code an exception passed, the part, and the frame of its method."""
    for frame, _ in reversed(list(foreign_frames(error))):
        part = frame.f_locals.get("self")
        kind = next((kind for kind, contracts in KINDS if isinstance(part, contracts)), None)
        if kind is not None:
            return kind, part, frame
    return None


def _fault_of(kind: str, part: object, frame: types.FrameType, error: BaseException) -> errors.AgentlabError:
    method = frame.f_code.co_name.removeprefix("tf__")
    clause = f"{type(part).__name__} failed in its {method}: it raised {describe_error(error)}. Fix it there."
    if kind == "environment":
        return errors.EnvironmentFault(f"The environment {clause}")
    return errors.PartFault(f"The {kind} {clause}")
