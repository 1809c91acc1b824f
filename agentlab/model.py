"""The Model contract: any `keras.Model` is a model as it is; a model plugin builds one for an environment."""

from __future__ import annotations

import abc
from typing import Any

import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.spec import EnvironmentSpec


class ModelBuilder(abc.ABC):
    """Builds a Keras model for an environment; settings are constructor arguments."""

    @abc.abstractmethod
    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        """Returns a model from observations `[B, *O]` to outputs `[B, num_outputs]`: Sequential, Functional or subclassed."""


def build_model(source: ModelBuilder | keras.Model, spec: EnvironmentSpec, num_outputs: int, seed: int) -> keras.Model:
    """Returns a built model whose outputs were checked: `source` itself, or what it builds with weights drawn from `seed`.

    Raises:
        UsageError: Keras runs on another backend than TensorFlow, or the model does not fit the environment.
    """
    if keras.backend.backend() != "tensorflow":
        raise errors.UsageError(
            f"Keras runs on the {keras.backend.backend()!r} backend; agentlab needs 'tensorflow': unset KERAS_BACKEND."
        )
    with seeds.keras_initializers(seed):
        model = source if isinstance(source, keras.Model) else source.build(spec, num_outputs)
        check_outputs(model, spec, num_outputs)
    return model


def check_outputs(model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    """Calls the model once on a blank observation, which also builds it.

    Raises:
        UsageError: it refuses the observation, or its outputs are not float32 `[B, num_outputs]`.
    """
    shape = (1, *spec.observation.shape)
    try:
        output = model(tf.zeros(shape, spec.observation.dtype))
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise errors.UsageError(
            f"Model {model.name!r} refused an observation of shape {shape} and dtype {spec.observation.dtype} "
            f"from {spec.name!r}: {reason}. Expected a model that takes it; choose another model or change its input."
        ) from error
    _check_output(output, model, spec, num_outputs)


def _check_output(output: Any, model: keras.Model, spec: EnvironmentSpec, num_outputs: int) -> None:
    got = f"shape {tuple(output.shape)} and dtype {output.dtype.name}" if tf.is_tensor(output) else type(output).__name__
    if not tf.is_tensor(output) or tuple(output.shape) != (1, num_outputs) or output.dtype != tf.float32:
        raise errors.UsageError(
            f"Model {model.name!r} answers one observation of {spec.name!r} with {got}; expected shape (1, {num_outputs}) "
            f"and dtype float32, one output per action. Give its last layer {num_outputs} units."
        )
