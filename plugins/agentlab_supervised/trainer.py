"""The supervised trainer: learns from the right answers that an environment knows, by any Keras loss."""

from __future__ import annotations

from typing import Any

import attrs
import keras

from agentlab import errors
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.tensors import keras_names
from agentlab.trainer import Score, Trainer
from agentlab.types import Transition
from agentlab_supervised.score import AnswerScore, ClassScore

TAKEN = ("episodes", "return_mean", "return_std", "episode_length_mean", "loss", "per_class_accuracy", "confusion_matrix")
MOST_METRICS = 100


@attrs.define(slots=False, eq=False)
class Supervised(Trainer):
    """Learns from `target`, the right answer to each action, by any Keras loss; rewards only tell how well it goes.

    Attributes:
        loss_function: one of Keras's losses by name, or as a table of its name and arguments, `{"name": "Huber", "delta": 2}`;
            or an object called with (target, output), your own included; None for the cross-entropy of logits where targets
            are classes, and the mean squared error where they are arrays.
        metrics: of evaluations: Keras's metrics by name, or as such tables; or objects.
    """

    loss_function: str | dict[str, Any] | Any = None
    metrics: tuple[Any, ...] = attrs.field(default=(), validator=attrs.validators.max_len(MOST_METRICS))

    def num_outputs(self, spec: EnvironmentSpec) -> int:
        target = spec.target
        if target is None:
            raise errors.UsageError(
                f"Supervised learning needs the right answers; environment {spec.name!r} pays rewards and doesn't tell them. "
                "Choose another trainer, such as 'dqn', or an environment with targets."
            )
        if target.shape != spec.action.shape or isinstance(target, Discrete) is not isinstance(spec.action, Discrete):
            raise errors.UsageError(
                f"Environment {spec.name!r} takes a {spec.action}, but its right answer is a {target}; expected alike ones."
            )
        return target.num_values if isinstance(target, Discrete) else target.shape[-1]

    def build(self, model: keras.Model, spec: EnvironmentSpec) -> None:
        super().build(model, spec)
        self._loss = _loss(self.loss_function, spec.target)
        self._metrics = keras_names.metrics([_metric(metric, spec.target) for metric in self.metrics])
        _check_names([metric.name for metric in self._metrics])
        self._target = spec.target

    def loss(self, output: Any, batch: Transition, seed: Any) -> tuple[Any, dict[str, Any]]:
        return self._loss(batch.target, output), {}

    def score(self) -> Score:
        for metric in self._metrics:
            metric.reset_state()
        if isinstance(self._target, Discrete):
            return ClassScore(self._loss, self._metrics, self._target.num_values)
        return AnswerScore(self._loss, self._metrics)


def _loss(given: Any, target: Array | Discrete | None) -> Any:
    """Returns what to call with (target, output)."""
    if given is None:
        discrete = isinstance(target, Discrete)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True) if discrete else keras.losses.MeanSquaredError()
    if given in ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # models here put out logits
    return keras_names.loss(given)


def _metric(given: Any, target: Array | Discrete | None) -> Any:
    if given in ("accuracy", "acc") and isinstance(target, Discrete):
        return keras.metrics.SparseCategoricalAccuracy(name="accuracy")  # as `compile` resolves the name
    return given


def _check_names(names: list[str]) -> None:
    """Raises UsageError if two entries of an evaluation would have the same name."""
    for name in names:
        if name in TAKEN or names.count(name) > 1:
            raise errors.UsageError(
                f"A metric is named {name!r}, as another entry of evaluations is; expected names of their own, and none of "
                f"{', '.join(TAKEN)}. Give it another name."
            )
