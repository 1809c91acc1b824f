"""An algorithm is its loss: tape, gradients, clipping and optimizer are agentlab's."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.spec import Discrete, EnvironmentSpec
from agentlab.trainer import Trainer
from agentlab.types import Transition


@attrs.define(slots=False, eq=False)
class MyPlugin(Trainer):
    """Policy gradient for the reward at hand, beyond which it doesn't look (REINFORCE; Williams 1992, doi:10.1007/BF00992696).

    The model's outputs are logits of a policy, to be drawn from by the sampler "temperature". What counts is by how much a
    reward is above the mean of the batch.

    Attributes:
        entropy_weight: what an even policy is worth, in units of the reward; 0 or greater.
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Trainer.metric_names, "entropy")
    on_policy: ClassVar[bool] = True  # older transitions, such as of a replay, would mislead it

    learning_rate: float = 3e-3
    entropy_weight: float = attrs.field(default=0.01, validator=attrs.validators.ge(0))

    def num_outputs(self, spec: EnvironmentSpec) -> int:
        if not isinstance(spec.action, Discrete) or spec.action.shape:
            raise errors.UsageError(
                f"Trainer 'my-plugin' needs one choice per step; environment {spec.name!r} takes a {spec.action}. "
                "Choose another trainer or an environment with such actions."
            )
        return spec.action.num_values

    def loss(self, output: Any, batch: Transition, seed: Any) -> tuple[Any, dict[str, Any]]:
        log_policy = tf.nn.log_softmax(output)  # [N, A]
        taken = tf.gather(log_policy, batch.action, batch_dims=1)  # [N]
        advantage = batch.reward - tf.reduce_mean(batch.reward)
        entropy = -tf.reduce_sum(tf.exp(log_policy) * log_policy, axis=-1)
        return -advantage * taken - self.entropy_weight * entropy, {"entropy": tf.reduce_mean(entropy)}
