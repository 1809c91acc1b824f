"""Supervised scores of an evaluation: loss, metrics, accuracy per class and confusion matrix."""

from __future__ import annotations

import functools
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

    def figures(self) -> dict[str, Callable[[], float]]:
        """Returns what computes `loss` and each metric."""
        metrics = {metric.name: functools.partial(_plain_result, metric) for metric in self._metrics}
        return {"loss": lambda: self._total / self._rows, **metrics}


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

    def figures(self) -> dict[str, Callable[[], float]]:
        """Returns what computes `accuracy`, `loss` and each metric; a metric named `accuracy` takes the place of the first."""
        return {"accuracy": self._accuracy, **super().figures()}

    def tables(self) -> dict[str, Callable[[], list[Any]]]:
        """Returns what computes `per_class_accuracy` (None for a class without samples) and `confusion_matrix`.

        The matrix has a row per class and in it, per answer, how often it was given.
        """
        return {"per_class_accuracy": self._class_accuracies, "confusion_matrix": self._confusion.tolist}

    def _accuracy(self) -> float:
        return int(np.trace(self._confusion)) / int(self._confusion.sum())

    def _class_accuracies(self) -> list[float | None]:
        right, of_class = np.diagonal(self._confusion), self._confusion.sum(axis=1)
        return [int(good) / int(every) if every else None for good, every in zip(right, of_class, strict=True)]


def _plain_result(metric: keras.metrics.Metric) -> Tensor:
    """Returns a metric's result, mostly a number, or an array or a table of such, as JSON can hold it."""
    return tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf).numpy().tolist(), metric.result())
