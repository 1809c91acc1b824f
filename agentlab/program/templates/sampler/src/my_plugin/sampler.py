"""A sampler chooses actions from distributions: exploring, evaluating and generating text differ in it alone."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab.distribution import FORBIDDEN, Distribution
from agentlab.sampler import Sampler
from agentlab.types import Nest, Seed, Tensor


@attrs.frozen
class MyPlugin(Sampler):
    """Draws among the k best actions, each of them as likely as the others; of equally good ones, among all.

    Attributes:
        k: how many actions; of fewer, all.
    """

    k: int = attrs.field(default=2, validator=attrs.validators.ge(1))

    def sample(self, distribution: Distribution, step: Tensor, seed: Seed) -> Nest:
        logits = distribution.logits  # [B, ..., A]; FORBIDDEN where a mask forbids
        worst = tf.math.top_k(logits, min(self.k, logits.shape[-1])).values[..., -1:]
        among_best = (logits >= worst) & (logits > FORBIDDEN / 2)
        return distribution.masked(among_best).explore(tf.shape(logits)[:-1], seed)
