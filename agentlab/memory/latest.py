"""The memory of the last turn, and weights that leave out rows which are no transition."""

from __future__ import annotations

from typing import ClassVar

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.memory.contract import Memory
from agentlab.memory.layout import Layout
from agentlab.types import Batch, Seed, Step, Tensor


@attrs.define(slots=False, eq=False)
class Latest(Memory):
    """Returns the last turn, which is learned from by the forward pass that acted."""

    records_acting: ClassVar[bool] = True

    def build(self, layout: Layout) -> None:
        request, updates, rows = layout.request, layout.updates, layout.num_environments
        if (updates.period, updates.count, updates.starts) != (rows, 1, 0):
            raise errors.UsageError(
                f"Memory 'latest' is learned from once a turn, every {rows} steps here; the trainer asks for {updates.count} "
                f"updates every {updates.period} steps from step {updates.starts} on. Choose another memory, or set "
                f"trainer.update_period={rows}, trainer.updates_per_period=1 and trainer.learning_starts=0."
            )
        if request.num_steps != 1 or request.length is not None:
            raise errors.UsageError(
                f"The trainer learns from {request.num_steps if request.length is None else request.length} steps in a row; "
                "memory 'latest' hands out single steps. Choose another memory."
            )

    def add(self, step: Step, row: Tensor) -> None:
        self._step = step

    def sample(self, seed: Seed) -> Batch:
        acted = self._step.acted
        known = tf.get_static_value(acted)
        weight = () if known is not None and np.all(known) else weight_of(acted)  # () spares the device gear a product
        return Batch(**attrs.asdict(self._step, recurse=False), weight=weight)


def weight_of(acted: Tensor) -> Tensor:
    """Returns float32 weights with which the mean over rows is the mean over those that `acted` (bool)."""
    share = tf.cast(acted, tf.float32)
    return share * (tf.cast(tf.size(share), tf.float32) / tf.maximum(tf.reduce_sum(share), 1.0))
