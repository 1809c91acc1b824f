"""Min-p sampling: what is not improbable beside the most probable."""

from __future__ import annotations

import math

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.distribution import Categorical
from agentlab.sampler import Sampler
from agentlab.types import Seed, Tensor


@attrs.frozen
class MinP(Sampler):
    """Draws among the actions that are at least `min_p` times as probable as the most probable one.

    Nguyen et al. 2024, arXiv:2407.01082. Where the model is sure, few are left; where it is not, many are.

    Attributes:
        min_p: greater than 0, at most 1; at 1 only the most probable is left.
        temperature: greater than 0, in units of the output.
    """

    min_p: float = attrs.field(default=0.1, validator=[attrs.validators.gt(0), attrs.validators.le(1)])
    temperature: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))

    def sample(self, distribution: Categorical, step: Tensor, seed: Seed) -> Tensor:  # type: ignore[override]
        if not isinstance(distribution, Categorical):
            raise errors.UsageError(
                f"Min-p needs choices of one kind; actions are drawn from a {type(distribution).__name__}. "
                "Choose another sampler, such as 'stochastic'."
            )
        below = distribution.logits - tf.reduce_max(distribution.logits, axis=-1, keepdims=True)  # as the log of the share
        likely = below >= self.temperature * math.log(self.min_p)
        return distribution.masked(likely).tempered(self.temperature).sample(seed)
