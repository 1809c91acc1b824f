"""The trainer of language models: cross-entropy of the next symbols."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.distribution import Categorical
from agentlab.spec import EnvironmentSpec, describe, num_values_of
from agentlab.trainer import Loss, Score, Trainer
from agentlab.types import Batch, Seed, Tensor

NATS_PER_BIT = math.log(2.0)


def next_symbol_loss(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the sum of the cross-entropies of each row, and how many positions it was judged at; both `[N]` float32.

    Args:
        output: `[N, ..., K]` float32 logits.
        target: `[N, ...]` int64, 0 to K - 1, or negative where there is nothing to be right about.
    """
    judged = tf.cast(target >= 0, tf.float32)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(target, tf.zeros_like(target)), output)
    axes = list(range(1, len(target.shape)))
    return tf.reduce_sum(nats * judged, axes), tf.reduce_sum(judged, axes)


@attrs.define(slots=False, eq=False)
class NextSymbol(Trainer):
    """Learns from `target` the symbol after each position, by cross-entropy in nats; a negative target doesn't count.

    Evaluations report `loss` (nats per character), `bits_per_character`, `accuracy` and `characters`, the number judged.
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Trainer.metric_names, "bits_per_character")
    headline: ClassVar[str] = "bits_per_character"

    def distribution(self, spec: EnvironmentSpec) -> Categorical:
        num_values = num_values_of(spec.target)
        if num_values is None:
            target = "no target" if spec.target is None else f"a target that is a {describe(spec.target)}"
            raise errors.UsageError(
                f"Trainer 'next-symbol' needs the right symbols as targets; environment {spec.name!r} has {target}. "
                "Choose environment 'text'."
            )
        return Categorical(num_values=num_values)

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        nats, judged = next_symbol_loss(output, batch.target)
        # All positions judged weigh alike, however they are spread over the rows.
        positions = tf.maximum(tf.reduce_sum(judged), 1.0)
        mean = tf.reduce_sum(nats) / positions
        rows = tf.cast(tf.shape(nats)[0], tf.float32)
        return Loss(nats * (rows / positions), {"bits_per_character": mean / NATS_PER_BIT})

    def score(self) -> Score:
        return SymbolScore()


class SymbolScore(Score):
    """Sums the cross-entropy and the right answers of all symbols in float64."""

    def __init__(self) -> None:
        self._nats = 0.0
        self._right = 0
        self._judged = 0

    def add(self, output: np.ndarray, batch: Batch) -> None:
        judged = batch.target >= 0

        # [N, K] in float64, since differences of large sums are what counts.
        logits, target = output[judged].astype(np.float64), batch.target[judged]
        largest = logits.max(axis=-1, keepdims=True)
        normalizer = largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=-1))
        self._nats += float(np.sum(normalizer - logits[np.arange(len(target)), target]))
        self._right += int(np.sum(logits.argmax(axis=-1) == target))
        self._judged += len(target)

    def figures(self) -> dict[str, Callable[[], float]]:
        return {
            "loss": lambda: self._per_symbol(self._nats),
            "bits_per_character": lambda: self._per_symbol(self._nats) / NATS_PER_BIT,
            "accuracy": lambda: self._per_symbol(self._right),
            "characters": lambda: self._judged,
        }

    def _per_symbol(self, total: float) -> float:
        return total / max(self._judged, 1)
