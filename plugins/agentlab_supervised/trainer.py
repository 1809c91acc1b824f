"""The supervised trainer: learns an environment's targets by any Keras loss."""

from __future__ import annotations

from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.distribution import Deterministic, Distribution, distribution_of
from agentlab.spec import EnvironmentSpec, SpaceNest, describe, is_array, num_values_of, spaces_alike
from agentlab.tensors import keras_names
from agentlab.trainer import Loss, Score, Setup, Trainer
from agentlab.types import Batch, Seed, Tensor
from agentlab_supervised.score import AnswerScore, ClassScore

TAKEN = ("episodes", "return_mean", "return_std", "episode_length_mean", "loss", "per_class_accuracy", "confusion_matrix")
MOST_METRICS = 100
CROSS_ENTROPY = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")


@attrs.define(slots=False, eq=False)
class Supervised(Trainer):
    """Learns from `target`, the right answer to each action, by any Keras loss; rewards are only reported.

    Attributes:
        loss_function: one of Keras's losses by name, or as a table of its name and arguments, `{"name": "Huber", "delta": 2}`;
            or an object called with (target, output), your own included; None for the mean squared error where targets are
            arrays, and elsewhere for their negative log-probability, which of a class is the cross-entropy of logits.
        metrics: of evaluations: Keras's metrics by name, or as such tables; or objects.
    """

    loss_function: str | dict[str, Any] | Any = None
    metrics: tuple[Any, ...] = attrs.field(default=(), validator=attrs.validators.max_len(MOST_METRICS))

    @property
    def metric_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the metrics of an update: of classes, also how many answers are right."""
        return (*Trainer.metric_names, *(["accuracy"] if self._has_classes else []))

    @property
    def headline(self) -> str:  # type: ignore[override]
        """The metric that users know best."""
        return "accuracy" if self._has_classes else "loss"

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        target = spec.target
        if target is None:
            raise errors.UsageError(
                f"Supervised learning needs the right answers; environment {spec.name!r} pays rewards and has no targets. "
                "Choose another trainer, such as 'dqn', or an environment with targets."
            )

        # The action is the answer, so it has to be what the target is.
        if not spaces_alike(target, spec.action):
            raise errors.UsageError(
                f"Environment {spec.name!r} takes a {describe(spec.action)}, but its right answer is a {describe(target)}; "
                "expected the same kind of space."
            )
        if is_array(target):
            return Deterministic(shape=target.shape)
        return distribution_of(target)

    def build(self, setup: Setup) -> None:
        super().build(setup)
        target = setup.spec.target
        self._loss = _loss(self.loss_function, target, self.distribution(setup.spec))
        self._metrics = keras_names.metrics([_metric(metric, target) for metric in self.metrics])
        _check_names([metric.name for metric in self._metrics])
        self._target = target
        self._has_classes = num_values_of(target) is not None

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        value = self._loss(batch.target, output)
        if not self._has_classes:
            return Loss(value)

        # [N] whether the most probable class is the right one.
        is_right = tf.argmax(output, axis=-1) == tf.cast(batch.target, tf.int64)
        return Loss(value, {"accuracy": tf.cast(is_right, tf.float32)})

    def score(self) -> Score:
        for metric in self._metrics:
            metric.reset_state()
        if (num_classes := num_values_of(self._target)) is not None:
            return ClassScore(self._loss, self._metrics, num_classes)
        return AnswerScore(self._loss, self._metrics)


def _loss(loss: keras_names.Loss | None, target: SpaceNest | None, distribution: Distribution) -> Any:
    """Returns what to call with (target, output)."""
    if loss is None and target is not None and is_array(target):
        return keras.losses.MeanSquaredError()
    if loss is None and num_values_of(target) is None:
        return lambda answers, output: -distribution.of(output).log_probability(answers)
    if loss in (None, *CROSS_ENTROPY):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # models here put out logits
    return keras_names.loss(loss)


def _metric(metric: keras_names.Metric, target: SpaceNest | None) -> Any:
    if metric in ("accuracy", "acc") and num_values_of(target) is not None:
        return keras.metrics.SparseCategoricalAccuracy(name="accuracy")  # as `compile` resolves the name
    return metric


def _check_names(names: list[str]) -> None:
    """Raises UsageError if two entries of an evaluation would have the same name."""
    for name in names:
        if name in TAKEN or names.count(name) > 1:
            raise errors.UsageError(
                f"A metric is named {name!r}, as another entry of evaluations is; expected names of their own, and none of "
                f"{', '.join(TAKEN)}. Give it another name."
            )
