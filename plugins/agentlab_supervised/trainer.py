"""The supervised trainer: learns from the right answers that an environment knows, by any Keras loss."""

from __future__ import annotations

from typing import Any

import attrs
import keras

from agentlab import errors
from agentlab.distribution import Deterministic, Distribution, distribution_of
from agentlab.spec import Array, Discrete, EnvironmentSpec, SpaceNest, describe, spaces_alike
from agentlab.trainer import Loss, Score, Setup, Trainer
from agentlab.types import Batch, Seed, Tensor
from agentlab_supervised.score import AnswerScore, ClassScore


@attrs.define(slots=False, eq=False)
class Supervised(Trainer):
    """Learns from `target`, the right answer to each action, by any Keras loss; rewards only tell how well it goes.

    Attributes:
        loss_function: a Keras loss by name, or an object called with (target, output), your own included; None for the
            cross-entropy of logits where targets are classes, and the mean squared error where they are arrays.
        metrics: of evaluations: Keras metrics by name, or objects.
    """

    loss_function: str | Any = None
    metrics: tuple[Any, ...] = ()

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        target = spec.target
        if target is None:
            raise errors.UsageError(
                f"Supervised learning needs the right answers; environment {spec.name!r} pays rewards and has no targets. "
                "Choose another trainer, such as 'dqn', or an environment with targets."
            )
        if not spaces_alike(target, spec.action):
            raise errors.UsageError(
                f"Environment {spec.name!r} takes a {describe(spec.action)}, but its right answer is a {describe(target)}; "
                "expected the same kind of space."
            )
        if isinstance(target, Array):
            return Deterministic(shape=target.shape)
        return distribution_of(target)

    def build(self, setup: Setup) -> None:
        super().build(setup)
        target = setup.spec.target
        self._loss = _loss(self.loss_function, target)
        self._metrics = [_metric(metric, target) for metric in self.metrics]
        self._target = target

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        return Loss(self._loss(batch.target, output))

    def score(self) -> Score:
        for metric in self._metrics:
            metric.reset_state()
        if isinstance(self._target, Discrete):
            return ClassScore(self._loss, self._metrics, self._target.num_values)
        return AnswerScore(self._loss, self._metrics)


def _loss(given: Any, target: SpaceNest | None) -> Any:
    """Returns what to call with (target, output)."""
    if given is None:
        discrete = isinstance(target, Discrete)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True) if discrete else keras.losses.MeanSquaredError()
    if given in ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # models here put out logits
    return _found(given, keras.losses.get, "loss", "mean_absolute_error")


def _metric(given: Any, target: SpaceNest | None) -> keras.metrics.Metric:
    if given in ("accuracy", "acc") and isinstance(target, Discrete):
        return keras.metrics.SparseCategoricalAccuracy(name="accuracy")  # as `compile` resolves the name
    metric = _found(given, keras.metrics.get, "metric", "mean_absolute_error")
    if isinstance(metric, keras.metrics.Metric):
        return metric
    return keras.metrics.MeanMetricWrapper(metric, name=getattr(metric, "__name__", "metric"))


def _found(given: Any, get: Any, kind: str, example: str) -> Any:
    """Returns what Keras knows by a name, or the object given if it can be called."""
    try:
        found = get(given)
    except ValueError as error:
        raise errors.UsageError(
            f"Keras has no {kind} {given!r}; expected its name, such as {example!r}, or an object called with (target, output)."
        ) from error
    return found
