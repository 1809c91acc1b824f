"""An algorithm is its loss: tape, gradients, clipping and optimizer are agentlab's."""

from __future__ import annotations

from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab.memory import Request
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Loss, Trainer
from agentlab.types import Batch, Seed, Tensor


@attrs.define(slots=False, eq=False)
class MyPlugin(Trainer):
    """Policy gradient on the immediate reward alone (REINFORCE; Williams 1992, doi:10.1007/BF00992696).

    The model's outputs are those of the actions' usual distribution, such as logits; draw from it by the sampler "stochastic".
    What counts is by how much a reward is above the mean of the batch.

    Attributes:
        entropy_weight: what an even policy is worth, in units of the reward; 0 or greater.
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Trainer.metric_names, "entropy")

    learning_rate: float = 3e-3
    entropy_weight: float = attrs.field(default=0.01, validator=attrs.validators.ge(0))

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(order="all")  # what happened since the last update: older steps, such as of a replay, would mislead it

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        policy = self.distribution(self.spec).of(output)
        advantage = batch.reward - tf.reduce_mean(batch.reward)  # [N]
        entropy = policy.entropy()
        loss = -advantage * policy.log_probability(batch.action) - self.entropy_weight * entropy
        return Loss(loss, {"entropy": tf.reduce_mean(entropy)})
