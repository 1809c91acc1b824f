"""Min-p sampling: what is not improbable beside the most probable."""

from __future__ import annotations

import math
from typing import Any

import attrs
import tensorflow as tf

from agentlab.sampler import Sampler, Temperature


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

    def sample(self, output: Any, step: Any, seed: Any) -> Any:
        below = output - tf.reduce_max(output, axis=-1, keepdims=True)  # log of the probability beside the largest
        kept = tf.where(below >= self.temperature * math.log(self.min_p), output, -math.inf)
        return Temperature(self.temperature).sample(kept, step, seed)
