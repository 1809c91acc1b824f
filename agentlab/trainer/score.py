"""Scores: figures that a trainer adds to evaluations."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np

from agentlab.types import Batch


class Score(abc.ABC):
    """Figures that a trainer adds to the result of an evaluation, such as the accuracy.

    Their names are known before anything is evaluated, so that a run or a sweep can refuse the name of a figure that no
    evaluation has. They are the same before and after `add`.
    """

    @abc.abstractmethod
    def add(self, output: np.ndarray, batch: Batch) -> None:
        """Adds outputs `[N, ..., K]` and the N steps to which the actions drawn from them led, as NumPy arrays."""

    @abc.abstractmethod
    def figures(self) -> dict[str, Callable[[], float]]:
        """Returns what computes each number for result.json's `evaluation`, by its name."""

    def tables(self) -> dict[str, Callable[[], list[Any]]]:
        """Returns what computes each list or table of numbers, by its name; by default there are none."""
        return {}

    def result(self) -> dict[str, Any]:
        """Returns the figures and tables of what was added, by name."""
        return {name: compute() for name, compute in {**self.figures(), **self.tables()}.items()}
