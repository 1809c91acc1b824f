"""A sampler turns a model's output into an action: exploring, evaluating and generating text differ in it alone."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from agentlab import seeds
from agentlab.sampler import Sampler


@attrs.frozen
class MyPlugin(Sampler):
    """Draws among the k largest outputs, each of them as likely as the others.

    Attributes:
        k: how many outputs; of fewer, all.
    """

    k: int = attrs.field(default=2, validator=attrs.validators.ge(1))

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        best = tf.math.top_k(output, min(self.k, output.shape[-1])).indices  # [B, ..., k]
        place = seeds.integers(seed, tf.shape(output)[:-1], best.shape[-1])  # a draw of its own for every row
        return tf.cast(tf.gather(best, place, batch_dims=len(output.shape) - 1), tf.int64)
