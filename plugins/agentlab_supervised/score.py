"""Supervised scores of an evaluation: loss, metrics, accuracy per class and confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agentlab.trainer import Score
from agentlab.types import Batch, Tensor


class AnswerScore(Score):
    """Loss and Keras metrics of the outputs.

    Args:
        loss: called with (target, output).
        metrics: at their initial state.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], metrics: Sequence[keras.metrics.Metric]) -> None:
        self._loss = loss
        self._metrics = metrics
        self._total = 0.0
        self._rows = 0

    def add(self, output: np.ndarray, batch: Batch) -> None:
        if len(output) == 0:
            return
        for metric in self._metrics:
            metric.update_state(batch.target, output)
        self._total += float(tf.reduce_mean(self._loss(batch.target, output))) * len(output)
        self._rows += len(output)

    def result(self) -> dict[str, Any]:
        """Returns `loss` and each metric by its name."""
        metrics = {metric.name: _plain(metric.result()) for metric in self._metrics}
        return {"loss": self._total / self._rows, **metrics}


class ClassScore(AnswerScore):
    """Loss, metrics, and how often each class was predicted as each.

    Args:
        loss: called with (target, output).
        metrics: at their initial state.
        num_classes: K.
    """

    def __init__(
        self, loss: Callable[[Tensor, Tensor], Tensor], metrics: Sequence[keras.metrics.Metric], num_classes: int
    ) -> None:
        super().__init__(loss, metrics)
        self._confusion = np.zeros((num_classes, num_classes), np.int64)

    def add(self, output: np.ndarray, batch: Batch) -> None:
        super().add(output, batch)
        np.add.at(self._confusion, (np.ravel(batch.target), np.ravel(batch.action)), 1)

    def result(self) -> dict[str, Any]:
        """Returns `accuracy`, `per_class_accuracy` (None for a class without samples) and `confusion_matrix`.

        The matrix has a row per class and in it, per answer, how often it was given.
        """
        right, of_class = np.diagonal(self._confusion), self._confusion.sum(axis=1)
        shares = [int(good) / int(every) if every else None for good, every in zip(right, of_class, strict=True)]
        return {
            "accuracy": int(right.sum()) / int(of_class.sum()),
            **super().result(),
            "per_class_accuracy": shares,
            "confusion_matrix": self._confusion.tolist(),
        }


def _plain(value: np.ndarray) -> Tensor:
    """Returns a metric's result, a number, an array or a table of such, as JSON can hold it."""
    return tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf).numpy().tolist(), value)
